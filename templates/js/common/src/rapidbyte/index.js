/**
 * What a Rapidbyte connector in JavaScript is written with. Part of your project: read it, and change it where it is in the way.
 *
 * A connector is a class called `Connector` in `src/connector.js`, made from `Source`, `Destination` or `Transform`:
 *
 *     import { Field, Source, schema } from "./rapidbyte/index.js";
 *
 *     export class Connector extends Source {
 *       static syncModes = ["full_refresh", "incremental"];
 *       open(config) {}              // config: checked against config.schema.json, defaults filled in
 *       async validate() {}          // reach what a run would reach; throw an error if that fails
 *       async discover() {}          // a list of streams
 *       async read(stream, out) {}   // out.emit(rows), out.checkpoint(cursor)
 *     }
 *
 * What goes wrong is thrown as a `ConnectorError`; its makers (`configError`, `authError`, …) say who can mend it. Anything
 * else that is thrown is a defect of the connector and reported as such.
 *
 * | module | owns |
 * | --- | --- |
 * | `connector.js` | the three roles, what they are given and give back |
 * | `errors.js` | the one error |
 * | `schema.js` | columns, and the bytes that Arrow writes a schema as |
 * | `rows.js` | rows as JSON, with every digit |
 * | `config.js` | holding a config against its JSON Schema |
 * | `http.js` | HTTP by `fetch`, with typed errors |
 * | `files.js` | the folders that were granted |
 * | `host.js` | log, metrics, state: what the host does besides |
 * | `testing.js` | the host of unit tests |
 * | `session.js`, `guest.js` | how all this is called; not for authors |
 */

export { Batch, Checkpoint, Destination, Source, Transform, stream } from "./connector.js";
export * from "./errors.js";
export { log, metric, state } from "./host.js";
export { Field, Schema, schema } from "./schema.js";
