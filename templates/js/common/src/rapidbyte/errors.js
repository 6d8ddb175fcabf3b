/** The one error of the contract. Its category says who can mend it; whether trying again helps follows from that. */

/** Category: whether a retry can help, and how patient it should be. */
const CATEGORIES = {
  config: [false, "normal"],
  auth: [false, "normal"],
  permission: [false, "normal"],
  rate_limit: [true, "slow"],
  transient_network: [true, "normal"],
  transient_db: [true, "normal"],
  data: [false, "normal"],
  schema: [false, "normal"],
  internal: [false, "normal"],
  frame: [false, "normal"],
};

/** What went wrong: `category` for the host, `code` for machines, `message` for people. Never put a secret in one. */
export class ConnectorError extends Error {
  constructor(category, code, message, { details, retryAfterMs, scope = "per_stream", commit } = {}) {
    super(message);
    [this.retryable, this.backoff] = CATEGORIES[category];
    this.category = category;
    this.code = code;
    this.details = details;
    this.retryAfterMs = retryAfterMs;
    this.scope = scope;
    this.safeToRetry = true;
    /** Destinations: "before_commit", "after_commit_unknown" or "after_commit_confirmed". */
    this.commit = commit;
  }
}

/** The value of a config key is wrong; only the pipeline's author can mend it. */
export const configError = (key, message, code = "config_invalid") =>
  new ConnectorError("config", code, `\`${key}\` ${message}`, { details: { field: key } });
/** Credentials were refused. */
export const authError = (code, message) => new ConnectorError("auth", code, message);
/** Credentials are fine, the right is missing. */
export const permissionError = (code, message) => new ConnectorError("permission", code, message);
/** The network failed, or the other side did, in a way that may pass: the host tries again. */
export const transientError = (code, message) => new ConnectorError("transient_network", code, message);
/** A record cannot be represented or is refused. */
export const dataError = (code, message, scope = "per_batch") => new ConnectorError("data", code, message, { scope });
/** Stream and connector disagree about columns or types. */
export const schemaError = (code, message) => new ConnectorError("schema", code, message);
/** A defect in the connector. */
export const internalError = (code, message) => new ConnectorError("internal", code, message);
