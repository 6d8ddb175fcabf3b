/** The three roles, and what a connector is given and gives back. Nothing here knows WebAssembly: a unit test calls the same. */

import { ConnectorError, configError, dataError, internalError } from "./errors.js";
import { current } from "./host.js";
import { parseRows, toJson } from "./rows.js";

/** A frame may be larger than its rows' text, where these are short; what is refused as too large is halved. */
const TEXT_BYTES_TARGET = 1024 * 1024;

/** A stream that a source offers. `syncModes`: those of the connector, if they are not named. */
export const stream = (name, schema, { primaryKey = [], cursorFields = [], syncModes } = {}) => ({
  name,
  schema,
  primaryKey,
  cursorFields,
  syncModes,
});

/** A place in a stream, in the host's words. A destination stores it with the data, as `stored()`. */
export class Checkpoint {
  constructor({ id, cursor, records = 0, bytes = 0, complete = false, stream = "" }) {
    Object.assign(this, { id, cursor, records, bytes, complete, stream });
  }

  /** For JSON. */
  stored() {
    const cursor = this.cursor && { ...this.cursor, value: String(this.cursor.value) };
    return { id: String(this.id), cursor, complete: this.complete };
  }

  static fromStored({ id, cursor, complete }) {
    const isNumber = cursor && !["utf8", "decimal", "json"].includes(cursor.kind);
    return new Checkpoint({ id: BigInt(id), cursor: cursor && { ...cursor, value: isNumber ? BigInt(cursor.value) : cursor.value }, complete });
  }
}

/** Rows of a stream. */
export class Batch {
  constructor(schema, text, records) {
    this.schema = schema;
    /** A JSON object on each line, exact: what only passes them on need not read them. */
    this.text = text;
    this.records = records;
  }

  /** The rows as objects; see `rows.js` for what becomes of large numbers. */
  rows() {
    return parseRows(this.text, this.schema);
  }
}

/** Hands rows on in frames that are no larger than the run allows. */
class Emitter {
  records = 0;
  bytes = 0;
  batches = 0;

  constructor(schema, limits) {
    this.schema = schema.toBytes();
    this.recordBytesMax = limits.maxRecordBytes;
    this.textBytesMax = Math.min(TEXT_BYTES_TARGET, limits.maxBatchBytes);
  }

  rows(rows) {
    let lines = [];
    let size = 0;
    for (const row of rows) {
      const line = toJson(row);
      // A character takes three bytes at most.
      const length = line.length * 3 > this.recordBytesMax ? new TextEncoder().encode(line).length : line.length;
      if (length > this.recordBytesMax)
        throw dataError("record_too_large", `a row takes ${length} bytes, \`max_record_bytes\` is ${this.recordBytesMax}`, "per_record");
      if (lines.length && size + length > this.textBytesMax) {
        this.lines(lines);
        lines = [];
        size = 0;
      }
      lines.push(line);
      size += length + 1;
    }
    if (lines.length) this.lines(lines);
  }

  lines(lines) {
    let counts;
    try {
      counts = current().emit(this.schema, lines.join("\n"));
    } catch (error) {
      if (error.code === "frame_too_large" && lines.length > 1) {
        const half = lines.length >> 1;
        this.lines(lines.slice(0, half));
        this.lines(lines.slice(half));
        return;
      }
      if (error.code === "frame_too_large") throw dataError("record_too_large", "a row is larger than a frame may be", "per_record");
      if (error.code === "json_malformed") throw dataError("row_malformed", error.message);
      throw error;
    }
    this.records += counts.records;
    this.bytes += counts.bytes;
    this.batches += 1;
  }
}

/** As many records were emitted as were asked for. */
export class Enough extends Error {}

/** Where a source puts its rows. */
export class Output {
  #emitter;
  #since;

  constructor(stream, maxRecords) {
    this.stream = stream;
    /** How many records are still wanted; Infinity: all. */
    this.left = maxRecords ?? Infinity;
    this.checkpoints = 0;
    this.#emitter = new Emitter(stream.schema, stream.limits);
    this.#mark();
  }

  #mark() {
    this.#since = { records: this.#emitter.records, bytes: this.#emitter.bytes, moment: Date.now() };
  }

  /**
   * Hands on rows: objects by column name. Waits while whoever takes them is busy. More rows than are wanted are left out, and
   * the read ends.
   */
  emit(rows) {
    this.#emitter.rows(rows.slice(0, this.left));
    if (rows.length > this.left) throw new Enough();
    this.left -= rows.length;
  }

  /** Whether the run is asked to end: make a checkpoint and return. */
  get cancelled() {
    return current().cancelled();
  }

  /** Whether as much was emitted, or as much time has passed, as should lie between two checkpoints. */
  get checkpointDue() {
    const { records, bytes, moment } = this.#since;
    const limits = this.stream.limits;
    return (
      this.#emitter.records - records >= limits.checkpointIntervalRows ||
      this.#emitter.bytes - bytes >= limits.checkpointIntervalBytes ||
      Date.now() - moment >= limits.checkpointIntervalSeconds * 1000
    );
  }

  /**
   * Says that every row up to this value of the cursor field has been emitted: an interrupted run continues behind it. `kind`
   * is one of the contract's kinds of cursor; by default it follows from the column's type.
   */
  checkpoint(value, kind = cursorKind(this.stream.schema, this.stream.cursorField)) {
    const { records, bytes } = this.#since;
    current().checkpoint(
      "source",
      new Checkpoint({
        id: 0n,
        cursor: { field: this.stream.cursorField, kind, value },
        records: this.#emitter.records - records,
        bytes: this.#emitter.bytes - bytes,
        stream: this.stream.name,
      }),
    );
    this.checkpoints += 1;
    this.#mark();
  }

  summary() {
    const { records, bytes, batches } = this.#emitter;
    return { records, bytes, batches, checkpoints: this.checkpoints, skipped: 0 };
  }
}

/** The kind of cursor that a column's values are. */
export function cursorKind(schema, column) {
  const type = schema.field(column)?.type ?? "";
  if (/^u?int/.test(type)) return "int64";
  if (type.startsWith("decimal")) return "decimal";
  if (type.startsWith("timestamp(us")) return "timestamp_micros";
  if (type.startsWith("timestamp")) return "timestamp_millis";
  return "utf8";
}

/** What comes to a destination, in order: `Batch` and `Checkpoint`. Ends when nothing follows. */
export class Input {
  records = 0;
  bytes = 0;
  batches = 0;
  checkpoints = 0;

  constructor(stream) {
    this.stream = stream;
  }

  *[Symbol.iterator]() {
    for (let event = current().next(); event; event = current().next()) {
      if (event instanceof Checkpoint) {
        yield event;
        continue;
      }
      this.records += event.records;
      this.bytes += event.bytes;
      this.batches += 1;
      yield new Batch(this.stream.schema, event.text, event.records);
    }
  }

  /**
   * Tells the host, before anything is taken, what the last commit of this stream was. Answers `resume` (what follows continues
   * behind it) or `restart` (drop what is staged).
   */
  reportReceipt(checkpoint) {
    return current().checkpoint("receipt", checkpoint);
  }

  /** Tells the host that everything before this checkpoint is durable, and the checkpoint with it. */
  committed(checkpoint) {
    try {
      current().checkpoint("destination", checkpoint);
    } catch (error) {
      // That it could not be told changes nothing about it.
      if (error instanceof ConnectorError) error.commit = "after_commit_confirmed";
      throw error;
    }
    this.checkpoints += 1;
  }

  summary() {
    const { records, bytes, batches, checkpoints } = this;
    return { records, bytes, batches, checkpoints, failed: 0 };
  }
}

class Role {
  /** What the manifest says too; `rapidbyte connector test` compares. */
  static syncModes = [];
  static writeModes = [];
  static transactional = false;
  static projection = false;

  /** Takes the config, which keeps `config.schema.json`. Throw a `configError` for what a schema cannot say. */
  open(_config) {}

  /** Tries what a run would need; throws if it would fail. May answer a sentence for people. */
  validate() {}

  /** Lets go of what `open` took. */
  close() {}
}

/** Reads streams. */
export class Source extends Role {
  static role = "source";

  /** The streams there are: a list made by `stream`. */
  discover() {
    throw internalError("not_written", "`discover` is not written");
  }

  /** Emits the stream's rows into `out`, from behind `stream.position`, and makes checkpoints. */
  read(_stream, _out) {
    throw internalError("not_written", "`read` is not written");
  }
}

/** Writes streams. */
export class Destination extends Role {
  static role = "destination";

  /** Throws if the stream cannot be written as it is asked for. */
  check(_stream) {}

  /** Takes batches, and makes them durable together with each checkpoint. */
  write(_stream, _events) {
    throw internalError("not_written", "`write` is not written");
  }
}

/** Changes streams on their way. */
export class Transform extends Role {
  static role = "transform";

  /** The schema that flows out where this one flows in; throws where it does not fit. */
  schema(schema) {
    return schema;
  }

  /** The rows that flow out for these. */
  rows(_rows, _stream) {
    throw internalError("not_written", "`rows` is not written");
  }
}

/** Takes batches, changes their rows, hands them on, and the checkpoints behind them. */
export async function transform(connector, stream) {
  const input = new Input(stream);
  const emitter = new Emitter(await connector.schema(stream.schema), stream.limits);
  for (const event of input) {
    if (event instanceof Checkpoint) current().checkpoint("transform", event);
    else emitter.rows(await connector.rows(event.rows(), stream));
  }
  return { recordsIn: input.records, recordsOut: emitter.records, bytesIn: input.bytes, bytesOut: emitter.bytes, batches: emitter.batches };
}

export function unknownStream(name, known) {
  const names = known.map((stream) => `\`${stream.name}\``).join(", ") || "none";
  return configError("streams", `has no \`${name}\`, there is ${names}`, "unknown_stream");
}

export { ConnectorError };
