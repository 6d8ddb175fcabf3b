/** The folders that the manifest asks for and the pipeline names. Paths are as the config has them. */

import { ConnectorError, configError, permissionError } from "./errors.js";
import { current } from "./host.js";

const call = (name, path, ...rest) => guarded(path, () => current().files[name](path, ...rest));

const guarded = (path, work) => {
  try {
    return work();
  } catch (error) {
    const code = error.payload ?? error.code;
    const message = `\`${path}\`: ${code ?? error.message}`;
    if (["no-entry", "ENOENT", "not-granted"].includes(code)) throw configError("path", `cannot be used: ${message}`);
    if (["access", "not-permitted", "read-only", "EACCES", "EPERM", "EROFS"].includes(code)) throw permissionError("permission_denied", message);
    throw new ConnectorError("internal", "io", message);
  }
};

export const files = {
  /** Makes a folder and those above it. */
  makeFolder: (path) => call("makeFolder", path),
  /** A file's text; undefined if there is none. */
  read: (path) => call("read", path),
  /** Begins a file, in place of one that is there: `append(text)` as often as wanted, then `finish()`, which makes it durable. */
  writer: (path) => {
    const writer = call("writer", path);
    return {
      append: (text) => guarded(path, () => writer.append(text)),
      finish: () => guarded(path, () => writer.finish()),
    };
  },
  /** Makes the names in a folder durable, where the file system needs that said. */
  syncFolder: (path) => call("syncFolder", path),
  rename: (from, to) => call("rename", from, to),
  /** Removes a file, if it is there. */
  remove: (path) => call("remove", path),
  exists: (path) => call("exists", path),
};
