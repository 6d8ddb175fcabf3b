/**
 * `@name@`: trims text columns and changes their case.
 *
 * Everything marked CHANGE is about this one change; the rest is what any transform does.
 */

import { Transform, configError } from "./rapidbyte/index.js";

const CASES = {
  keep: (text) => text,
  lower: (text) => text.toLowerCase(),
  upper: (text) => text.toUpperCase(),
};

/** Changes columns. */
export class Connector extends Transform {
  open(config) {
    this.columns = config.columns;
    this.changeCase = CASES[config.case];
  }

  /** CHANGE: the schema that flows out. Here it is the one that flows in, if it has the columns. */
  schema(schema) {
    for (const name of this.columns) {
      const column = schema.field(name);
      if (!column) throw configError("columns", `names \`${name}\`, which the stream does not have`);
      if (!["utf8", "large_utf8"].includes(column.type)) throw configError("columns", `names \`${name}\`, which is \`${column.type}\`, not text`);
    }
    return schema;
  }

  /** CHANGE: one batch. */
  rows(rows) {
    for (const row of rows) {
      for (const name of this.columns) {
        if (row[name] !== null) row[name] = this.changeCase(row[name].trim());
      }
    }
    return rows;
  }
}
