/** The connector as a component: between the contract's types, as componentize-js makes them, and `session`. In components only. */

import {
  Frame,
  batchEmit,
  batchNext,
  cancelled,
  stateCompareAndSwap,
  stateGet,
  statePut,
  tcpConnect,
  telemetryCheckpoint,
  telemetryLog,
  telemetryMetric,
} from "rapidbyte:connector/host-io@4.0.0";
import { getDirectories } from "wasi:filesystem/preopens@0.2.3";

import { Checkpoint } from "./connector.js";
import { ConnectorError } from "./errors.js";
import { use } from "./host.js";
import { Schema } from "./schema.js";
import { Sessions } from "./session.js";

const CONTRACT = "4.0.0";
const CONNECT_TIMEOUT_MS = 30_000;
const WRITE_BYTES = 1024 * 1024;
const DISPOSE = Symbol.dispose ?? Symbol.for("dispose");

const toWord = (word) => word.replaceAll("_", "-");
const fromWord = (word) => word.replaceAll("-", "_");
const camel = (word) => word.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const optional = (value, make) => (value === undefined || value === null ? undefined : make(value));

/** A 64-bit integer as a number, where that has room for it. */
const fromInteger = (value) => {
  if (typeof value !== "bigint") return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
};

const toWitError = (error) => ({
  category: toWord(error.category),
  scope: toWord(error.scope),
  code: error.code,
  message: error.message,
  retryable: error.retryable,
  retryAfterMs: optional(error.retryAfterMs, BigInt),
  backoff: error.backoff,
  safeToRetry: error.safeToRetry,
  commit: optional(error.commit, toWord),
  details: optional(error.details, (details) => (typeof details === "string" ? details : JSON.stringify(details))),
});

function fromWitError(wit) {
  const { code, message, details, retryable, backoff, safeToRetry } = wit;
  const error = new ConnectorError(fromWord(wit.category), code, message, {
    details,
    retryAfterMs: optional(wit.retryAfterMs, Number),
    scope: fromWord(wit.scope),
  });
  return Object.assign(error, { retryable, backoff, safeToRetry });
}

/** A call of the host, whose refusals are thrown. */
function call(work) {
  try {
    return work();
  } catch (error) {
    const wit = error?.payload ?? error;
    throw typeof wit?.category === "string" && !(wit instanceof Error) ? fromWitError(wit) : error;
  }
}

/** A call by the host, which is told errors as the contract has them. */
const told =
  (work) =>
  async (...args) => {
    try {
      return await work(...args);
    } catch (error) {
      throw error instanceof ConnectorError ? toWitError(error) : error;
    }
  };

function toWitCursor({ field, kind, value }) {
  const isText = ["utf8", "decimal", "json"].includes(kind);
  return { field, value: { tag: toWord(kind), val: isText ? String(value) : BigInt(value) } };
}

const fromWitCursor = ({ field, value }) => ({ field, kind: fromWord(value.tag), value: value.val });

const fieldValue = (value) => {
  if (typeof value === "boolean") return { tag: "boolean", val: value };
  if (Number.isSafeInteger(value)) return { tag: "int", val: BigInt(value) };
  if (typeof value === "number") return { tag: "float", val: value };
  return { tag: "text", val: String(value) };
};

const host = {
  emit(schema, text) {
    return call(() => {
      const frame = Frame.fromJson(schema, text);
      const counts = { records: Number(frame.records()), bytes: Number(frame.bytes()) };
      batchEmit(frame);
      return counts;
    });
  },
  next() {
    const event = call(() => batchNext());
    if (event.tag === "end") return undefined;
    if (event.tag === "checkpoint") {
      const { id, cursor, records, bytes, complete, stream } = event.val;
      return new Checkpoint({ id, cursor: optional(cursor, fromWitCursor), records, bytes, complete, stream });
    }
    const frame = event.val;
    try {
      return { text: call(() => frame.toJson()), records: Number(frame.records()), bytes: Number(frame.bytes()) };
    } finally {
      frame[DISPOSE]();
    }
  },
  checkpoint(kind, { stream, id, cursor, records, bytes, complete }) {
    const event = { kind, stream, id, cursor: optional(cursor, toWitCursor), records: BigInt(records), bytes: BigInt(bytes), complete };
    return call(() => telemetryCheckpoint(event));
  },
  cancelled: () => cancelled(),
  log(level, message, fields) {
    telemetryLog({ level, message, fields: Object.entries(fields).map(([name, value]) => [name, fieldValue(value)]) });
  },
  metric(name, kind, value, labels) {
    const val = kind === "counter" ? BigInt(value ?? 1) : value;
    telemetryMetric({ name, value: { tag: kind, val }, labels: Object.entries(labels).map(([key, label]) => [key, String(label)]) });
  },
  stateGet: (scope, key) => call(() => stateGet(toWord(scope), key)),
  statePut: (scope, key, value) => call(() => statePut(toWord(scope), key, value)),
  stateCompareAndSwap: (scope, key, expected, value) => call(() => stateCompareAndSwap(toWord(scope), key, expected, value)),
  /** Throws in the host's words if there is no way to a server. */
  reach(name, port) {
    try {
      call(() => tcpConnect(name, port, CONNECT_TIMEOUT_MS))[DISPOSE]();
    } catch (error) {
      // There is a way: the host has answered with a socket, and componentize-js has no class for a resource without methods.
      if (error.name !== "ReferenceError") throw error;
    }
  },
};

/** Folders by the longest granted path before a path's rest. */
function locate(path) {
  const fits = getDirectories().filter(([, name]) => path === name || path.startsWith(name.endsWith("/") ? name : `${name}/`));
  fits.sort(([, one], [, other]) => other.length - one.length);
  if (!fits.length) throw Object.assign(new Error("not granted"), { payload: "not-granted" });
  const [folder, name] = fits[0];
  return [folder, path.slice(name.length).replace(/^\/+/, "") || "."];
}

const NONE = {};
const unless = (expected, work) => {
  try {
    return work();
  } catch (error) {
    if ((error.payload ?? error) !== expected) throw error;
    return undefined;
  }
};

host.files = {
  makeFolder(path) {
    const [folder, rest] = locate(path);
    const parts = rest.split("/").filter((part) => part !== ".");
    parts.forEach((_, index) => unless("exist", () => folder.createDirectoryAt(parts.slice(0, index + 1).join("/"))));
  },
  read(path) {
    const [folder, rest] = locate(path);
    const file = unless("no-entry", () => folder.openAt(NONE, rest, NONE, { read: true }));
    if (!file) return undefined;
    const decoder = new TextDecoder();
    let text = "";
    for (let offset = 0n, end = false; !end; ) {
      const [bytes, last] = file.read(65536n, offset);
      text += decoder.decode(bytes, { stream: true });
      offset += BigInt(bytes.length);
      end = last || bytes.length === 0;
    }
    file[DISPOSE]();
    return text + decoder.decode();
  },
  writer(path) {
    const [folder, rest] = locate(path);
    const file = folder.openAt(NONE, rest, { create: true, truncate: true }, { write: true });
    let at = 0n;
    return {
      append(text) {
        const bytes = new TextEncoder().encode(text);
        for (let written = 0; written < bytes.length; ) {
          const count = file.write(bytes.subarray(written, written + WRITE_BYTES), at);
          written += Number(count);
          at += count;
        }
      },
      finish() {
        file.sync();
        file[DISPOSE]();
      },
    };
  },
  syncFolder(path) {
    const [folder, rest] = locate(path);
    const opened = folder.openAt(NONE, rest, { directory: true }, { read: true });
    try {
      opened.sync();
    } catch {
      // Not every file system lets a folder be synchronised; those that do not need not.
    }
    opened[DISPOSE]();
  },
  rename(from, to) {
    const [folder, rest] = locate(from);
    const [other, place] = locate(to);
    folder.renameAt(rest, other, place);
  },
  remove(path) {
    const [folder, rest] = locate(path);
    unless("no-entry", () => folder.unlinkFileAt(rest));
  },
  exists(path) {
    const [folder, rest] = locate(path);
    const found = unless("no-entry", () => folder.openAt(NONE, rest, NONE, { read: true }));
    found?.[DISPOSE]();
    return Boolean(found);
  },
};

/** The stream that a call is about. */
function fromContext(context, role) {
  if (!context) return undefined;
  return {
    pipeline: context.pipeline,
    name: context.name,
    schema: role === "source" ? undefined : Schema.fromBytes(context.schema),
    syncMode: fromWord(context.syncMode),
    cursorField: context.cursor?.field,
    position: optional(context.position, ({ val }) => fromInteger(val)),
    positionKind: optional(context.position, ({ tag }) => fromWord(tag)),
    columns: context.columns,
    writeMode: optional(context.write, ({ mode }) => fromWord(mode)),
    primaryKey: context.write?.primaryKey ?? [],
    updateColumns: context.write?.updateColumns ?? [],
    cursorFields: [],
    partition: context.partition,
    limits: Object.fromEntries(Object.entries(context.limits).map(([name, value]) => [name, Number(value)])),
    policies: Object.fromEntries(Object.entries(context.policies).map(([name, value]) => [name, fromWord(value)])),
  };
}

const toCatalogStream = (Connector) => (stream) => ({
  name: stream.name,
  schema: stream.schema.toBytes(),
  primaryKey: stream.primaryKey,
  cursorFields: stream.cursorFields,
  syncModes: (stream.syncModes ?? Connector.syncModes).map(toWord),
});

/** The functions that componentize-js exports under the connector's role. */
export function exported(Connector, connectorId, configSchema) {
  const { role } = Connector;
  const sessions = new Sessions(Connector, configSchema);
  use(host);
  const flags = [...Connector.syncModes, ...Connector.writeModes];
  if (Connector.transactional) flags.push("transactional");
  if (Connector.projection) flags.push("projection");
  const capabilities = Object.fromEntries(flags.map((flag) => [camel(flag), true]));
  const counts = (summary) => Object.fromEntries(Object.entries(summary).map(([name, value]) => [name, BigInt(value)]));
  return {
    open: told(async (configJson) => {
      const session = await sessions.open(configJson);
      return { session, info: { connectorId, role, protocolVersion: CONTRACT, capabilities } };
    }),
    validate: told(async (session) => ({ status: "success", message: await sessions.validate(session), warnings: [] })),
    run: told(async (session, { stream, phase, dryRun, maxRecords }) => {
      const request = { phase, stream: fromContext(stream, role), dryRun, maxRecords: optional(maxRecords, Number) };
      const { catalog, read, write, transform } = await sessions.run(session, request);
      return {
        role,
        read: optional(read, counts),
        write: optional(write, counts),
        transform: optional(transform, counts),
        catalog: optional(catalog, (streams) => ({ streams: streams.map(toCatalogStream(Connector)) })),
      };
    }),
    close: told((session) => sessions.close(session)),
  };
}
