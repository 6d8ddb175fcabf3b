/** The bytes of schemas and the digits of rows: what is written is read again. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Field, Schema, schema } from "../src/rapidbyte/index.js";
import { parseRows, toJson } from "../src/rapidbyte/rows.js";

test("schemas are read as they were written", () => {
  const types = "null boolean int8 uint16 int64 uint64 float32 float64 utf8 large_utf8 binary date32 date64"
    .split(" ")
    .concat(["time32(s)", "time64(ns)", "timestamp(ms)", "timestamp(us, Europe/Berlin)", "decimal128(12, 2)"]);
  const fields = types.map((type, index) => new Field(`c${index} ü`, type, { nullable: index % 2 === 0 }));
  fields.push(new Field("list", "list", { children: [new Field("item", "int32")] }));
  fields.push(new Field("struct", "struct", { nullable: false, children: [new Field("a", "utf8")], metadata: { k: "v" } }));
  const bytes = new Schema(fields, { owner: "me" }).toBytes();
  const read = Schema.fromBytes(bytes);
  assert.deepEqual(read.fields, fields);
  assert.deepEqual(read.metadata, { owner: "me" });
  assert.equal(bytes.length % 8, 0);
  assert.deepEqual(Schema.fromBytes(schema().toBytes()).fields, []);
  assert.throws(() => schema(new Field("a", "text")).toBytes(), { category: "schema" });
});

test("every digit of a number survives", () => {
  const columns = schema(new Field("id", "int64"), new Field("amount", "decimal128(38, 4)"), new Field("x", "float64"), new Field("text", "utf8"));
  const line = '{"id":9223372036854775807,"amount":12345678901234567890.1234,"x":0.1,"text":"1234567890123456789 \\"\\\\ \\u0000"}';
  const [row] = parseRows(`${line}\n`, columns);
  assert.deepEqual(row, { id: 9223372036854775807n, amount: "12345678901234567890.1234", x: 0.1, text: '1234567890123456789 "\\ \0' });
  assert.deepEqual(parseRows(toJson(row), columns), [row]);
  assert.deepEqual(parseRows('{"id":7,"amount":1.5,"x":1e300,"text":null}', columns), [{ id: 7, amount: "1.5", x: 1e300, text: null }]);
});
