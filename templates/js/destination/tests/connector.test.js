import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

import { Connector } from "../src/connector.js";
import { Checkpoint, Field, schema } from "../src/rapidbyte/index.js";
import { TestHost } from "../src/rapidbyte/testing.js";

const SCHEMA = schema(new Field("id", "int64", { nullable: false }), new Field("name", "utf8"));
const checkpoint = (id, complete = false) => new Checkpoint({ id: BigInt(id), cursor: { field: "id", kind: "int64", value: BigInt(id) }, complete });
const rows = (...ids) => ids.map((id) => ({ id, name: `name ${id}\u2028` }));
let folder, host;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "destination-"));
  host = new TestHost();
});
afterEach(() => rmSync(folder, { recursive: true }));

async function write(events, options, name = "orders") {
  const connector = await host.open(Connector, { path: folder });
  return connector.write(name, SCHEMA, events, options);
}

function written(name = "orders") {
  const names = readdirSync(join(folder, name)).filter((name) => /^part-.*\.jsonl$/.test(name));
  const text = names.sort().map((file) => readFileSync(join(folder, name, file), "utf8"));
  return text.flatMap((text) => text.split("\n").filter((line) => line).map((line) => JSON.parse(line).id));
}

test("rows are there with their checkpoint and not before", async () => {
  const { checkpoints } = await write([rows(1, 2), checkpoint(1), rows(3), rows(4), checkpoint(2), rows(5)]);
  assert.deepEqual(checkpoints.map((it) => it.id), [1n, 2n]);
  assert.deepEqual(written(), [1, 2, 3, 4], "no checkpoint covers the last row");
});

test("the next run is told what is committed", async () => {
  await write([rows(1), checkpoint(7)]);
  assert.deepEqual(host.receipts, []);
  await write([rows(2), checkpoint(8, true)]);
  const [receipt] = host.receipts;
  assert.deepEqual([receipt.id, receipt.cursor, receipt.complete], [7n, checkpoint(7).cursor, false]);
  assert.deepEqual(written(), [1, 2]);
  // A checkpoint without rows is a commit, too.
  await write([checkpoint(9)]);
  await write([]);
  assert.equal(host.receipts[0].id, 9n);
});

test("a commit that was cut off is finished", async () => {
  await write([rows(1), checkpoint(1)]);
  const [published] = readdirSync(join(folder, "orders"));
  // The receipt was in place, the rows had not got their name.
  renameSync(join(folder, "orders", published), join(folder, "_receipts/test/orders-0.tmp"));
  await write([]);
  assert.deepEqual(written(), [1]);
});

test("what is wrong has its error", async () => {
  const connector = await host.open(Connector, { path: folder });
  assert.match(await connector.validate(), /can be written/);
  await assert.rejects(write([], { writeMode: "upsert" }), { category: "config", details: { field: "write_mode" } });
  const missing = await host.open(Connector, { path: join(folder, "a/b") });
  await assert.rejects(missing.validate(), { category: "config" });
  mkdirSync(join(folder, "_receipts/test"), { recursive: true });
  writeFileSync(join(folder, "_receipts/test/orders-0.json"), "{}");
  await assert.rejects(write([rows(1)]), { code: "bad_receipt" });
});

test("columns that changed are refused by name", async () => {
  await write([rows(1), checkpoint(1)]);
  const connector = await host.open(Connector, { path: folder });
  const again = (...fields) => (policies) => connector.write("orders", schema(...fields), [], { policies });
  const [id, name] = SCHEMA.fields;
  await assert.rejects(again(id, name, new Field("extra", "utf8"))(), { category: "schema", message: /`extra` is new/ });
  await assert.rejects(again(id)(), { category: "schema", message: /`name` is gone/ });
  await assert.rejects(again(id, new Field("name", "int64"))(), { category: "schema", message: /`name` was `utf8` and is `int64`/ });
  const relaxed = again(new Field("id", "int64"), name);
  await assert.rejects(relaxed({ nullabilityChange: "fail" }), { category: "schema", message: /`id` may be null/ });
  await relaxed({ nullabilityChange: "allow" });
});

test("odd names stay inside", async () => {
  await write([rows(1), checkpoint(1)], {}, "../a/B");
  assert.deepEqual(written("%2e.%2fa%2f%42"), [1]);
});
