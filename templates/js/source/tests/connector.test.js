import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

import { start } from "../fixtures/server.js";
import { Connector } from "../src/connector.js";
import { TestHost } from "../src/rapidbyte/testing.js";

const INCREMENTAL = { syncMode: "incremental", cursorField: "seq" };
let server, url, host;

beforeEach(async () => {
  ({ server, url } = await start());
  host = new TestHost();
});

afterEach(() => stop(server));

const stop = (server) => {
  server.closeAllConnections();
  server.close();
};

test("discovers", async () => {
  const connector = await host.open(Connector, { url });
  const [stream] = await connector.discover();
  assert.deepEqual([stream.name, stream.primaryKey], ["issues", ["id"]]);
});

test("reads every page", async () => {
  const connector = await host.open(Connector, { url, page_size: 3 });
  const { rows, checkpoints } = await connector.read("issues");
  assert.deepEqual(rows.map((row) => row.id), [101, 102, 103, 104, 105, 106, 107]);
  assert.equal(rows[3].title, "Umlauts in names: Jürgen");
  assert.deepEqual(checkpoints, [], "a full refresh has no order to continue in");
});

test("every checkpoint is a place to continue", async () => {
  host = new TestHost({ checkpointIntervalRows: 2 });
  const connector = await host.open(Connector, { url, page_size: 2 });
  const { rows, checkpoints } = await connector.read("issues", INCREMENTAL);
  assert.equal(checkpoints.length, 4);
  for (const { cursor } of checkpoints) {
    const rest = await connector.read("issues", { ...INCREMENTAL, position: cursor.value });
    assert.deepEqual(rest.rows, rows.filter((row) => row.seq > cursor.value));
  }
});

test("stops when it is enough or asked to", async () => {
  const connector = await host.open(Connector, { url, page_size: 2 });
  assert.equal((await connector.read("issues", { maxRecords: 3 })).rows.length, 3);
  host.stopAfterCheckpoints = 0;
  assert.deepEqual((await connector.read("issues")).rows, []);
});

test("the token is shown", async () => {
  const guarded = await start({ token: "sesame" });
  try {
    const connector = await host.open(Connector, { url: guarded.url, token: "sesame" });
    assert.match(await connector.validate(), /answers/);
    const stranger = await host.open(Connector, { url: guarded.url });
    await assert.rejects(stranger.validate(), { category: "auth", code: "http_unauthorized" });
  } finally {
    stop(guarded.server);
  }
});

test("what is wrong has its error", async () => {
  for (const [config, field] of [
    [{}, "url"],
    [{ url: 1 }, "url"],
    [{ url: "x" }, "url"],
    [{ url: "http://a", x: 1 }, "x"],
  ]) {
    await assert.rejects(host.open(Connector, config), { category: "config", details: { field } });
  }
  const connector = await host.open(Connector, { url });
  await assert.rejects(connector.read("users"), { code: "unknown_stream" });
  stop(server);
  await assert.rejects(connector.validate(), { code: "connection_refused" });
});

test("an API out of order is noticed", async () => {
  const folder = mkdtempSync(join(tmpdir(), "issues-"));
  const issue = { id: 1, title: "a", state: "open", points: null, seq: 1 };
  writeFileSync(join(folder, "issues.json"), JSON.stringify([issue, issue]));
  const other = await start({ file: join(folder, "issues.json") });
  try {
    const connector = await host.open(Connector, { url: other.url });
    await assert.rejects(connector.read("issues"), { code: "api_order" });
  } finally {
    stop(other.server);
    rmSync(folder, { recursive: true });
  }
});
