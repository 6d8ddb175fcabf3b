/**
 * The host of unit tests: it runs a connector's own code natively, keeps what comes out, and hands in what is to come in. It holds
 * rows against their schema as the real host does, if not as thoroughly; `rapidbyte connector test` does that.
 *
 *     const host = new TestHost();
 *     const connector = await host.open(Connector, { url });
 *     const { rows, checkpoints } = await connector.read("issues", { syncMode: "incremental", cursorField: "seq" });
 */

import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";

import { Checkpoint, cursorKind } from "./connector.js";
import { ConnectorError, transientError } from "./errors.js";
import { use } from "./host.js";
import { parseRows, toJson } from "./rows.js";
import { Schema } from "./schema.js";
import { Sessions } from "./session.js";

const LIMITS = {
  maxBatchBytes: 8 * 1024 * 1024,
  maxRecordBytes: 1024 * 1024,
  maxInflightBatches: 4,
  checkpointIntervalBytes: 64 * 1024 * 1024,
  checkpointIntervalRows: 1_000_000,
  checkpointIntervalSeconds: 60,
};
const JS_TYPES = { int: ["number", "bigint"], uint: ["number", "bigint"], float: ["number"], utf: ["string"], large_utf: ["string"], boolean: ["boolean"] };
const CONFIG_SCHEMA = new URL("../../config.schema.json", import.meta.url);

/** One host for one test. */
export class TestHost {
  logs = [];
  metrics = [];
  state = new Map();
  /** After how many checkpoints the run is asked to end. */
  stopAfterCheckpoints = Infinity;
  /** The answer to a receipt. */
  reply = "resume";

  constructor(limits = {}) {
    this.limits = { ...LIMITS, ...limits };
    this.reset();
    use(this);
  }

  reset() {
    // What came out, in order: a list of rows, or a checkpoint.
    this.out = [];
    this.checkpoints = [];
    this.receipts = [];
    this.incoming = [];
  }

  /** Opens a connector with a config, which is held against `config.schema.json`. */
  async open(Connector, config) {
    const sessions = new Sessions(Connector, JSON.parse(readFileSync(CONFIG_SCHEMA, "utf8")));
    return new Opened(this, sessions, await sessions.open(JSON.stringify(config)));
  }

  // ---- What the connector calls

  emit(schema, text) {
    const columns = Schema.fromBytes(schema);
    const rows = parseRows(text, columns);
    if (text.length > this.limits.maxBatchBytes) throw new ConnectorError("frame", "frame_too_large", "the rows exceed `max-batch-bytes`");
    for (const row of rows) {
      for (const name of Object.keys(row)) if (!columns.field(name)) throw malformed(`there is no column \`${name}\``);
      for (const column of columns.fields) check(row[name(column)], column);
    }
    this.out.push(rows);
    return { records: rows.length, bytes: text.length };
  }

  next() {
    const event = this.incoming.shift();
    if (!event || event instanceof Checkpoint) return event;
    const text = event.map((row) => `${toJson(row)}\n`).join("");
    return { text, records: event.length, bytes: text.length };
  }

  checkpoint(kind, checkpoint) {
    if (kind === "receipt") {
      this.receipts.push(checkpoint);
      return this.reply;
    }
    this.checkpoints.push(checkpoint);
    if (kind === "transform") this.out.push(checkpoint);
    return "accepted";
  }

  cancelled() {
    return this.checkpoints.length >= this.stopAfterCheckpoints;
  }

  log(level, message, fields) {
    this.logs.push({ level, message, fields });
  }

  metric(name, kind, value, labels) {
    this.metrics.push({ name, kind, value, labels });
  }

  stateGet(scope, key) {
    return this.state.get(`${scope}/${key}`);
  }

  statePut(scope, key, value) {
    this.state.set(`${scope}/${key}`, value);
  }

  stateCompareAndSwap(scope, key, expected, value) {
    if (String(this.stateGet(scope, key)) !== String(expected)) return false;
    this.statePut(scope, key, value);
    return true;
  }

  reach(name, port, error) {
    if (error.cause?.code === "ECONNREFUSED") throw transientError("connection_refused", `cannot connect to \`${name}:${port}\``);
  }

  files = {
    makeFolder: (path) => mkdirSync(path, { recursive: true }),
    read: (path) => (existsSync(path) ? readFileSync(path, "utf8") : undefined),
    writer: (path) => {
      const file = openSync(path, "w");
      return {
        append: (text) => writeSync(file, text),
        finish: () => {
          fsyncSync(file);
          closeSync(file);
        },
      };
    },
    syncFolder: () => {},
    rename: (from, to) => renameSync(from, to),
    remove: (path) => rmSync(path, { force: true }),
    exists: (path) => existsSync(path),
  };
}

/** An open connector, as a test drives it. */
class Opened {
  constructor(host, sessions, session) {
    Object.assign(this, { host, sessions, session });
  }

  validate() {
    return this.sessions.validate(this.session);
  }

  /** The catalog; of a transform, of the stream that would flow in. */
  async discover(stream) {
    return (await this.sessions.run(this.session, { phase: "discover", stream })).catalog;
  }

  /** Reads a stream; answers its rows and the checkpoints. */
  async read(name, { maxRecords, dryRun, ...options } = {}) {
    this.host.reset();
    const stream = { name, syncMode: "full_refresh", limits: this.host.limits, ...options };
    if (stream.position !== undefined && !stream.positionKind) {
      const found = (await this.discover()).find((known) => known.name === name);
      stream.positionKind = found && cursorKind(found.schema, stream.cursorField);
    }
    const { read } = await this.sessions.run(this.session, { phase: "read", stream, maxRecords, dryRun });
    return { rows: this.host.out.filter(Array.isArray).flat(), checkpoints: this.host.checkpoints, summary: read };
  }

  /** Writes lists of rows and `Checkpoint`s; answers the checkpoints that were confirmed. */
  async write(name, schema, events, options = {}) {
    this.host.reset();
    this.host.incoming = [...events];
    const partition = { index: 0, count: 1 };
    const stream = { pipeline: "test", name, schema, limits: this.host.limits, writeMode: "append", partition, ...options };
    const { write } = await this.sessions.run(this.session, { phase: "write", stream });
    return { checkpoints: this.host.checkpoints, summary: write };
  }

  /** Sends lists of rows and `Checkpoint`s through; answers what came out, in order. */
  async transform(name, schema, events, options = {}) {
    this.host.reset();
    this.host.incoming = [...events];
    const stream = { pipeline: "test", name, schema, limits: this.host.limits, ...options };
    const { transform } = await this.sessions.run(this.session, { phase: "transform", stream });
    return { out: this.host.out, summary: transform };
  }

  close() {
    return this.sessions.close(this.session);
  }
}

const name = (column) => column.name;
const malformed = (what) => new ConnectorError("frame", "json_malformed", `the rows do not fit: ${what}`);

function check(value, column) {
  if (value === null || value === undefined) {
    if (!column.nullable) throw malformed(`column \`${column.name}\` has no value, and may not be null`);
    return;
  }
  const expected = JS_TYPES[column.type.replace(/\d+$/, "")];
  if (expected && !expected.includes(typeof value)) throw malformed(`column \`${column.name}\` is ${column.type}, not ${typeof value}`);
}
