/**
 * Columns, and the bytes that Arrow writes a schema as (one IPC message, a flatbuffer inside). Rows themselves travel as JSON,
 * so nothing more of Arrow is needed here.
 *
 * A type is a text: `null boolean int8…int64 uint8…uint64 float16 float32 float64 utf8 large_utf8 binary large_binary date32
 * date64 time32(s) time32(ms) time64(us) time64(ns) timestamp(s|ms|us|ns) timestamp(us, UTC) decimal128(12, 2)
 * decimal256(50, 10)`, and `list`, `large_list` and `struct` with `children`.
 */

import { schemaError } from "./errors.js";

const UNITS = ["s", "ms", "us", "ns"];
const FLOATS = ["float16", "float32", "float64"];
/** Arrow's numbers for types without parameters. */
const PLAIN = { null: 1, binary: 4, utf8: 5, boolean: 6, list: 12, struct: 13, large_binary: 19, large_utf8: 20, large_list: 21 };
const METADATA_V5 = 4;
const SCHEMA_MESSAGE = 1;
const CONTINUES = 0xffffffff;

/** A column. */
export class Field {
  constructor(name, type, { nullable = true, children = [], metadata = {} } = {}) {
    Object.assign(this, { name, type, nullable, children, metadata });
  }
}

/** The columns of a stream, in order. */
export class Schema {
  /** As it came: a schema that is passed on unchanged keeps what is not understood here. */
  #encoded;

  constructor(fields, metadata = {}, encoded = undefined) {
    this.fields = fields;
    this.metadata = metadata;
    this.#encoded = encoded;
  }

  /** The column of a name; undefined if there is none. */
  field(name) {
    return this.fields.find((field) => field.name === name);
  }

  toBytes() {
    this.#encoded ??= encode(this);
    return this.#encoded;
  }

  static fromBytes(bytes) {
    return decode(bytes);
  }
}

/** A schema of these columns. */
export const schema = (...fields) => new Schema(fields);

/** Writes a flatbuffer front to back. Whatever stands in a table takes four bytes, so everything is aligned to four. */
class Writer {
  bytes = [0, 0, 0, 0];

  align() {
    while (this.bytes.length % 4) this.bytes.push(0);
  }

  put(place, value, size = 4) {
    for (let index = 0; index < size; index++) this.bytes[place + index] = (value >> (8 * index)) & 0xff;
  }

  skip(count) {
    const place = this.bytes.length;
    for (let index = 0; index < count; index++) this.bytes.push(0);
    return place;
  }

  /** `slots`: number to an integer, or to a function that writes what is pointed to. */
  table(slots) {
    const entries = Object.entries(slots).map(([slot, value]) => [Number(slot), value]);
    const vtableBytes = 4 + 2 * (Math.max(-1, ...entries.map(([slot]) => slot)) + 1);
    while ((this.bytes.length + vtableBytes) % 4) this.bytes.push(0);
    const vtable = this.skip(vtableBytes);
    const tableBytes = 4 + 4 * entries.length;
    const start = this.skip(tableBytes);
    this.put(vtable, vtableBytes, 2);
    this.put(vtable + 2, tableBytes, 2);
    this.put(start, start - vtable);
    entries.forEach(([slot, value], index) => {
      const place = 4 + 4 * index;
      this.put(vtable + 4 + 2 * slot, place, 2);
      this.put(start + place, typeof value === "function" ? value() - (start + place) : value);
    });
    return start;
  }

  text(text) {
    this.align();
    const encoded = new TextEncoder().encode(text);
    const start = this.skip(4);
    this.put(start, encoded.length);
    this.bytes.push(...encoded, 0);
    return start;
  }

  vector(writers) {
    this.align();
    const start = this.skip(4 + 4 * writers.length);
    this.put(start, writers.length);
    writers.forEach((write, index) => {
      const place = start + 4 + 4 * index;
      this.put(place, write() - place);
    });
    return start;
  }
}

function encode(schema) {
  const out = new Writer();
  const pairs = (metadata) => () =>
    out.vector(Object.entries(metadata).map(([key, value]) => () => out.table({ 0: () => out.text(key), 1: () => out.text(value) })));
  const column = (field) => {
    const [number, parameters] = typeNumber(field, out);
    const slots = {
      0: () => out.text(field.name),
      1: Number(field.nullable),
      2: number,
      3: () => out.table(parameters),
      5: () => out.vector(field.children.map((child) => () => column(child))),
    };
    if (Object.keys(field.metadata).length) slots[6] = pairs(field.metadata);
    return out.table(slots);
  };
  const slots = { 1: () => out.vector(schema.fields.map((field) => () => column(field))) };
  if (Object.keys(schema.metadata).length) slots[2] = pairs(schema.metadata);
  out.put(0, out.table({ 0: METADATA_V5, 1: SCHEMA_MESSAGE, 2: () => out.table(slots) }));
  while (out.bytes.length % 8) out.bytes.push(0);
  const message = new Uint8Array(out.bytes.length + 16);
  const view = new DataView(message.buffer);
  view.setUint32(0, CONTINUES);
  view.setUint32(4, out.bytes.length, true);
  message.set(out.bytes, 8);
  view.setUint32(8 + out.bytes.length, CONTINUES);
  return message;
}

/** Arrow's number for a type, and the slots of its table. */
function typeNumber(field, out) {
  const [, name, rest] = /^([a-z0-9_]*)(?:\((.*)\))?$/.exec(field.type) ?? [];
  const parameters = rest?.split(",").map((part) => part.trim()) ?? [];
  const integer = /^(u?)int(8|16|32|64)$/.exec(name);
  if (name in PLAIN && !parameters.length) return [PLAIN[name], {}];
  if (FLOATS.includes(name)) return [3, { 0: FLOATS.indexOf(name) }];
  if (integer) return [2, { 0: Number(integer[2]), 1: integer[1] ? 0 : 1 }];
  if (/^decimal(128|256)$/.test(name) && parameters.length === 2)
    return [7, { 0: Number(parameters[0]), 1: Number(parameters[1]), 2: Number(name.slice(7)) }];
  if (name === "date32" || name === "date64") return [8, { 0: Number(name === "date64") }];
  const unit = UNITS.indexOf(parameters[0]);
  if (/^time(32|64)$/.test(name) && unit >= 0) return [9, { 0: unit, 1: Number(name.slice(4)) }];
  if (name === "timestamp" && unit >= 0) return [10, { 0: unit, ...(parameters[1] && { 1: () => out.text(parameters[1]) }) }];
  throw schemaError("unknown_type", `column \`${field.name}\` has type \`${field.type}\`, which cannot be written here`);
}

/** A table of a flatbuffer that the host has checked. */
class Table {
  constructor(view, start) {
    this.view = view;
    this.start = start;
    this.vtable = start - view.getInt32(start, true);
    this.slots = (view.getUint16(this.vtable, true) - 4) / 2;
  }

  place(slot) {
    const offset = slot < this.slots ? this.view.getUint16(this.vtable + 4 + 2 * slot, true) : 0;
    return offset ? this.start + offset : undefined;
  }

  number(slot, kind, missing = 0) {
    const place = this.place(slot);
    return place === undefined ? missing : this.view[`get${kind}`](place, true);
  }

  target(slot) {
    const place = this.place(slot);
    return place === undefined ? undefined : place + this.view.getUint32(place, true);
  }

  table(slot) {
    return new Table(this.view, this.target(slot));
  }

  text(slot) {
    const target = this.target(slot);
    if (target === undefined) return "";
    const { buffer, byteOffset } = this.view;
    return new TextDecoder().decode(new Uint8Array(buffer, byteOffset + target + 4, this.view.getUint32(target, true)));
  }

  tables(slot) {
    const target = this.target(slot);
    const count = target === undefined ? 0 : this.view.getUint32(target, true);
    return Array.from({ length: count }, (_, index) => {
      const place = target + 4 + 4 * index;
      return new Table(this.view, place + this.view.getUint32(place, true));
    });
  }
}

function decode(bytes) {
  const whole = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 16 || whole.getUint32(0) !== CONTINUES) throw schemaError("schema_malformed", "the schema is no Arrow IPC message");
  const view = new DataView(bytes.buffer, bytes.byteOffset + 8);
  const root = new Table(view, view.getUint32(0, true)).table(2);
  const pairs = (table, slot) => Object.fromEntries(table.tables(slot).map((pair) => [pair.text(0), pair.text(1)]));
  const column = (table) =>
    new Field(table.text(0), table.place(4) ? "dictionary" : typeName(table.number(2, "Uint8"), table.table(3)), {
      nullable: Boolean(table.number(1, "Uint8")),
      children: table.tables(5).map(column),
      metadata: pairs(table, 6),
    });
  return new Schema(root.tables(1).map(column), pairs(root, 2), bytes);
}

function typeName(number, table) {
  const plain = Object.keys(PLAIN).find((name) => PLAIN[name] === number);
  if (plain) return plain;
  switch (number) {
    case 2:
      return `${table.number(1, "Uint8") ? "" : "u"}int${table.number(0, "Int32")}`;
    case 3:
      return FLOATS[table.number(0, "Int16")];
    case 7:
      return `decimal${table.number(2, "Int32", 128)}(${table.number(0, "Int32")}, ${table.number(1, "Int32")})`;
    case 8:
      return table.number(0, "Int16", 1) ? "date64" : "date32";
    case 9:
      return `time${table.number(1, "Int32", 32)}(${UNITS[table.number(0, "Int16", 1)]})`;
    case 10: {
      const zone = table.text(1);
      return `timestamp(${UNITS[table.number(0, "Int16")]}${zone && `, ${zone}`})`;
    }
    default:
      return `unknown(${number})`;
  }
}
