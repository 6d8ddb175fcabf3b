/**
 * What the host does for a connector besides moving rows: log, metrics, state. Which host that is, `use` says: the one around
 * the component, or that of a unit test.
 */

let host;

export function use(it) {
  host = it;
}

export function current() {
  if (!host) throw new Error("there is no host; in a unit test make a `TestHost` first");
  return host;
}

const line = (level) => (message, fields = {}) => current().log(level, String(message), fields);

/** `log.info("message", { key: "value" })`. Never log a secret. */
export const log = { trace: line("trace"), debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };

const measure = (kind) => (name, value, labels = {}) => current().metric(name, kind, value, labels);

export const metric = { counter: measure("counter"), gauge: measure("gauge"), histogram: measure("histogram") };

/**
 * Small values (Uint8Array) that outlive a run. The manifest has to ask for `state_read` and `state_write`. Scopes:
 * `pipeline`, `stream`, `connector_instance`.
 */
export const state = {
  get: (key, scope = "stream") => current().stateGet(scope, key),
  put: (key, value, scope = "stream") => current().statePut(scope, key, value),
  compareAndSwap: (key, expected, value, scope = "stream") => current().stateCompareAndSwap(scope, key, expected, value),
};
