/**
 * `@name@`: reads issues from a REST API, page by page, in full or only what is new.
 *
 * Everything marked CHANGE is about the example API; the rest is what any source does.
 */

import { Api } from "./api.js";
import { Field, Source, internalError, schema, stream } from "./rapidbyte/index.js";

// CHANGE: the streams, their columns, and the column that orders each.
const ISSUES = stream(
  "issues",
  schema(
    new Field("id", "int64", { nullable: false }),
    new Field("title", "utf8", { nullable: false }),
    new Field("state", "utf8", { nullable: false }),
    new Field("points", "float64"),
    new Field("seq", "int64", { nullable: false }),
  ),
  { primaryKey: ["id"], cursorFields: ["seq"] },
);

/** Reads the API. */
export class Connector extends Source {
  static syncModes = ["full_refresh", "incremental"];

  open(config) {
    this.api = new Api(config);
    this.pageSize = config.page_size;
  }

  async validate() {
    await this.api.issues(0, 1);
    return "the API answers and takes the token";
  }

  discover() {
    return [ISSUES];
  }

  /** Page after page, until there is nothing new or the run is asked to end. */
  async read(stream, out) {
    let after = stream.position ?? 0;
    while (out.left > 0 && !out.cancelled) {
      const limit = Math.min(this.pageSize, out.left);
      const page = await this.api.issues(after, limit);
      const rows = page.items;
      if (!rows.length) break;
      const order = [after, ...rows.map((row) => row.seq)];
      if (rows.length > limit || order.some((seq, index) => index > 0 && order[index - 1] >= seq)) {
        throw internalError("api_order", "the API did not answer what was asked for: issues behind `after`, in order of `seq`");
      }
      after = rows.at(-1).seq;
      out.emit(rows);
      const done = !page.hasMore || out.left === 0;
      // Everything up to here can be committed: an interrupted run goes on behind it.
      if (stream.syncMode === "incremental" && (done || out.checkpointDue)) out.checkpoint(after);
      if (done) break;
    }
  }
}
