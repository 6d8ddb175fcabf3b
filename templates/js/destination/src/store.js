/**
 * Files and the receipt that says which of them count. CHANGE all of it for another kind of destination; keep that data and
 * receipt become durable together.
 *
 *     <path>/<stream>/part-<partition>-<checkpoint>.jsonl     committed rows
 *     <path>/_receipts/<pipeline>/<stream>-<partition>.json   the last commit: written last, by a rename
 *     <path>/_receipts/<pipeline>/<stream>-<partition>.tmp    rows of the next commit
 *
 * The receipt names the file its rows are to have. If the process dies before they have that name, the next run gives it to
 * them; if it dies before the receipt is in place, the rows are written again. Either way each row is there once.
 */

import { files } from "./rapidbyte/files.js";
import { Checkpoint, ConnectorError, configError, internalError, schemaError } from "./rapidbyte/index.js";

/** The files of one (pipeline, stream, partition). */
export class Store {
  #rows;

  constructor(path, stream) {
    this.folder = `${path}/${encode(stream.name)}`;
    this.receipts = `${path}/_receipts/${encode(stream.pipeline)}`;
    const task = `${this.receipts}/${encode(stream.name)}-${stream.partition.index}`;
    this.prefix = `part-${stream.partition.index}`;
    this.receipt = `${task}.json`;
    this.pending = `${task}.tmp`;
    this.columns = stream.schema.fields.map(described);
    this.mayRelax = stream.policies?.nullabilityChange !== "fail";
    files.makeFolder(this.folder);
    files.makeFolder(this.receipts);
  }

  /** Carries out what is committed, drops what is not, and answers the last commit. */
  recover() {
    const text = files.read(this.receipt);
    if (text === undefined) {
      files.remove(this.pending);
      return undefined;
    }
    let checkpoint, publish, columns;
    try {
      const stored = JSON.parse(text);
      checkpoint = Checkpoint.fromStored(stored);
      publish = stored.publish;
      columns = new Map(stored.columns.map((column) => [column.name, column]));
    } catch {
      throw internalError("bad_receipt", `receipt \`${this.receipt}\` was not written by this connector`);
    }
    if (publish && !files.exists(`${this.folder}/${publish}`)) this.#publish(publish);
    files.remove(this.pending);
    this.#compare(columns);
    return checkpoint;
  }

  /** All files of a stream have the same columns. CHANGE: a database can alter its table, by `stream.policies`. */
  #compare(written) {
    const refuse = (name, what) => {
      throw schemaError("schema_changed", `column \`${name}\` ${what}: write to another folder, or drop this one`);
    };
    for (const { name, type, nullable } of this.columns) {
      const old = written.get(name);
      if (!old) refuse(name, "is new");
      if (old.type !== type) refuse(name, `was \`${old.type}\` and is \`${type}\``);
      if (nullable && !old.nullable && !this.mayRelax) refuse(name, "may be null now");
      written.delete(name);
    }
    for (const name of written.keys()) refuse(name, "is gone");
  }

  /** Takes rows for the next commit. */
  add(text) {
    this.#rows ??= files.writer(this.pending);
    this.#rows.append(text);
  }

  /** Commits the rows together with their checkpoint: the moment is the rename of the receipt. */
  commit(checkpoint) {
    const publish = this.#rows && `${this.prefix}-${String(checkpoint.id).padStart(20, "0")}.jsonl`;
    this.#rows?.finish();
    this.#rows = undefined;
    if (publish && files.exists(`${this.folder}/${publish}`))
      throw configError("path", `has \`${this.folder}/${publish}\`, which no receipt knows`, "file_exists");
    const temporary = `${this.receipt}.tmp`;
    const writer = files.writer(temporary);
    writer.append(JSON.stringify({ ...checkpoint.stored(), columns: this.columns, publish: publish ?? null }));
    writer.finish();
    files.rename(temporary, this.receipt);
    files.syncFolder(this.receipts);
    if (!publish) return;
    try {
      this.#publish(publish);
    } catch (error) {
      if (error instanceof ConnectorError) error.commit = "after_commit_confirmed";
      throw error;
    }
  }

  #publish(name) {
    files.rename(this.pending, `${this.folder}/${name}`);
    files.syncFolder(this.folder);
  }
}

/** A column for the receipt, its type with those of its children. */
function described({ name, type, nullable, children }) {
  const inner = children.map(described).map((child) => `${child.name}: ${child.type}`);
  return { name, type: inner.length ? `${type}<${inner.join(", ")}>` : type, nullable };
}

/** Tries whether a file can be made and removed. */
export function probe(path) {
  const file = `${path}/.rapidbyte-probe`;
  files.writer(file).finish();
  files.remove(file);
}

/** A stream's name as the name of a file: never a path, and no two names the same. */
function encode(name) {
  const bytes = new TextEncoder().encode(name);
  return Array.from(bytes, (byte, index) => {
    const letter = String.fromCharCode(byte);
    return /[a-z0-9-]/.test(letter) || (index > 0 && /[_.]/.test(letter)) ? letter : `%${byte.toString(16).padStart(2, "0")}`;
  }).join("");
}
