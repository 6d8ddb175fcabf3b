/**
 * From the contract's four calls to a connector's methods: sessions, phases, what is checked before the connector is asked, and
 * what becomes of what it throws. Plain JavaScript on both sides.
 */

import { parse } from "./config.js";
import { Enough, Input, Output, cursorKind, transform, unknownStream } from "./connector.js";
import { ConnectorError, configError, internalError } from "./errors.js";

const OWN = { source: "read", destination: "write", transform: "transform" };

/** All sessions of one instance. */
export class Sessions {
  #open = new Map();
  #next = 1n;

  constructor(Connector, configSchema) {
    this.Connector = Connector;
    this.role = Connector.role;
    this.configSchema = configSchema;
  }

  /** Answers the session. */
  async open(configJson) {
    const connector = new this.Connector();
    await guarded(() => connector.open(parse(configJson, this.configSchema)));
    const session = this.#next++;
    this.#open.set(session, connector);
    return session;
  }

  connector(session) {
    const connector = this.#open.get(session);
    if (!connector) throw internalError("unknown_session", `there is no session ${session}`);
    return connector;
  }

  /** Answers the sentence for people. */
  async validate(session) {
    return (await guarded(() => this.connector(session).validate())) ?? "everything a run needs is there";
  }

  async close(session) {
    const connector = this.#open.get(session);
    this.#open.delete(session);
    if (connector) await guarded(() => connector.close());
  }

  /** Answers `{ catalog }`, or the role's summary under its name. */
  run(session, { phase, stream, dryRun = false, maxRecords }) {
    return guarded(async () => {
      const connector = this.connector(session);
      if (!["discover", OWN[this.role]].includes(phase) || (phase === "discover" && this.role === "destination"))
        throw internalError("wrong_phase", `a ${this.role} does not do \`${phase}\``);
      if (!stream && !(phase === "discover" && this.role === "source")) throw internalError("no_stream", `\`${phase}\` needs a stream`);
      if (this.role === "source") return source(connector, phase, stream, dryRun, maxRecords);
      if (this.role === "destination") return destination(connector, stream, dryRun);
      if (phase === "discover") return { catalog: [{ ...stream, schema: await connector.schema(stream.schema) }] };
      return { transform: await transform(connector, stream) };
    });
  }
}

async function source(connector, phase, asked, dryRun, maxRecords) {
  const known = await connector.discover();
  if (phase === "discover") return { catalog: known };
  const found = known.find((stream) => stream.name === asked.name);
  if (!found) throw unknownStream(asked.name, known);
  // The stream's own columns: those the pipeline was planned with may be of an earlier day.
  const stream = { ...asked, schema: found.schema, primaryKey: found.primaryKey };
  const expected = cursorKind(stream.schema, stream.cursorField);
  if (stream.position !== undefined && stream.positionKind !== expected)
    throw configError("cursor_field", `cannot continue: it is ordered by ${expected}, not by ${stream.positionKind}`);
  const out = new Output(stream, maxRecords);
  if (dryRun) {
    await connector.validate();
  } else {
    try {
      await connector.read(stream, out);
    } catch (error) {
      if (!(error instanceof Enough)) throw error;
    }
  }
  return { read: out.summary() };
}

async function destination(connector, stream, dryRun) {
  const modes = connector.constructor.writeModes;
  if (!modes.includes(stream.writeMode))
    throw configError("write_mode", `cannot be \`${stream.writeMode}\`, only ${modes.join(", ")}`);
  await connector.check(stream);
  const events = new Input(stream);
  if (!dryRun) await connector.write(stream, events);
  return { write: events.summary() };
}

/** What a connector throws besides the contract's error is a defect of it, told with its place. */
async function guarded(call) {
  try {
    return await call();
  } catch (error) {
    if (error instanceof ConnectorError) throw error;
    const place = /([\w.-]+\.js:\d+)/.exec(error?.stack ?? "")?.[1];
    throw internalError("javascript_exception", `${error}${place ? ` (${place})` : ""}`);
  }
}
