import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Connector } from "../src/connector.js";
import { Checkpoint, Field, schema, stream } from "../src/rapidbyte/index.js";
import { TestHost } from "../src/rapidbyte/testing.js";

const SCHEMA = schema(
  new Field("id", "int64", { nullable: false }),
  new Field("email", "utf8"),
  new Field("amount", "decimal128(38, 2)"),
  new Field("x", "float64"),
);
let host;

beforeEach(() => {
  host = new TestHost();
});

const open = (config) => host.open(Connector, { columns: ["email"], ...config });

test("changes its column and nothing else", async () => {
  const row = { id: 2n ** 60n, email: " Ada@Example.COM ", amount: "12345678901234567890.12", x: 0.1 };
  for (const [name, email] of [
    ["lower", "ada@example.com"],
    ["upper", "ADA@EXAMPLE.COM"],
    ["keep", "Ada@Example.COM"],
  ]) {
    const { out } = await (await open({ case: name })).transform("customers", SCHEMA, [[row]]);
    assert.deepEqual(out, [[{ ...row, email }]]);
  }
});

test("what is null stays null", async () => {
  const row = { id: 1, email: null, amount: null, x: null };
  const { out } = await (await open()).transform("customers", SCHEMA, [[row]]);
  assert.deepEqual(out, [[row]]);
});

test("checkpoints come behind what they cover", async () => {
  const row = { id: 1, email: "a", amount: null, x: null };
  const events = [[row], new Checkpoint({ id: 1n }), [row], [row], new Checkpoint({ id: 2n })];
  const { out, summary } = await (await open()).transform("customers", SCHEMA, events);
  assert.deepEqual(out, events);
  assert.deepEqual([summary.recordsIn, summary.recordsOut], [3, 3]);
});

test("says what flows out", async () => {
  const [flowing] = await (await open()).discover(stream("customers", SCHEMA));
  assert.deepEqual(flowing.schema.fields, SCHEMA.fields);
});

test("what is wrong has its error", async () => {
  for (const [config, field] of [
    [{ columns: [] }, "columns"],
    [{ case: "wrong" }, "case"],
    [{ columns: [1] }, "columns[0]"],
  ]) {
    await assert.rejects(open(config), { category: "config", details: { field } });
  }
  for (const columns of [["nothing"], ["id"]]) {
    const connector = await open({ columns });
    await assert.rejects(connector.transform("customers", SCHEMA, []), { category: "config" });
  }
});
