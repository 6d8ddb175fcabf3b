/**
 * HTTP for connectors, by `fetch`: in a component the host makes the connection, checks the endpoint against what was granted,
 * resolves the name and ends TLS. In a unit test it is Node's own.
 *
 *     const api = new HttpClient("https://api.example.com/v1", { token: config.token });
 *     const page = await api.get("issues", { after: 7, limit: 100 });      // the decoded JSON
 *
 * An answer that is no success is thrown as the error its status stands for; redirects are not followed.
 */

import { ConnectorError, configError, transientError } from "./errors.js";
import { current } from "./host.js";

/** Largest answer, in characters. */
const BODY_CHARS_MAX = 16 * 1024 * 1024;
/** Tries of a request that may be repeated, where the connection fails. */
const TRIES = 3;
const REPEATABLE = ["GET", "HEAD", "PUT", "DELETE"];

const STATUSES = {
  401: ["auth", "http_unauthorized"],
  403: ["auth", "http_forbidden"],
  404: ["config", "http_not_found"],
  408: ["transient_network", "http_timeout"],
  409: ["data", "http_refused"],
  410: ["config", "http_not_found"],
  413: ["data", "http_refused"],
  422: ["data", "http_refused"],
  425: ["transient_network", "http_too_early"],
  429: ["rate_limit", "http_too_many_requests"],
};

/** A base URL with its credentials. */
export class HttpClient {
  #base;
  #headers;

  /** `key` is the config key that the URL comes from, for the error if it is none. */
  constructor(url, { token, headers = {}, key = "url" } = {}) {
    try {
      this.#base = new URL(url);
    } catch {
      // Refused below.
    }
    if (!["http:", "https:"].includes(this.#base?.protocol)) throw configError(key, "must be a URL like `https://api.example.com/v1`");
    this.#headers = { accept: "application/json", ...headers, ...(token && { authorization: `Bearer ${token}` }) };
  }

  /** The decoded JSON of an answer. */
  get(path, query) {
    return this.request("GET", path, { query });
  }

  /** Sends JSON; not repeated by itself. */
  post(path, body, query) {
    return this.request("POST", path, { query, body });
  }

  async request(method, path, { query = {}, body } = {}) {
    const target = new URL(this.#base);
    target.pathname = `${target.pathname.replace(/\/$/, "")}/${path.replace(/^\//, "")}`;
    for (const [name, value] of Object.entries(query)) target.searchParams.set(name, value);
    const what = `${method} ${target.pathname}`;
    const headers = { ...this.#headers, ...(body !== undefined && { "content-type": "application/json" }) };
    const options = { method, headers, redirect: "manual", body: body === undefined ? undefined : JSON.stringify(body) };
    for (let attempt = 1; ; attempt++) {
      try {
        return await answer(what, target, options);
      } catch (error) {
        if (error.code !== "connection_lost") throw error;
        if (attempt < TRIES && REPEATABLE.includes(method)) continue;
        // `fetch` does not say why. Whether there is a way to the server at all does the host, in its own words.
        const port = Number(target.port) || (target.protocol === "https:" ? 443 : 80);
        current().reach(target.hostname.replace(/^\[|\]$/g, ""), port, error.cause);
        throw error;
      }
    }
  }
}

async function answer(what, target, options) {
  let response, text;
  try {
    response = await fetch(target.href, options);
    text = await response.text();
  } catch (error) {
    throw Object.assign(transientError("connection_lost", `${what}: the connection was lost (${error.message})`), { cause: error });
  }
  if (text.length > BODY_CHARS_MAX) throw new ConnectorError("data", "http_too_large", `${what} answered more than ${BODY_CHARS_MAX} characters`);
  if (response.status < 200 || response.status >= 300) throw refused(what, response, text);
  try {
    return text ? JSON.parse(text) : undefined;
  } catch (error) {
    throw new ConnectorError("internal", "http_not_json", `${what} answered no JSON: ${error.message}`);
  }
}

function refused(what, response, text) {
  const { status } = response;
  const other = status >= 500 ? ["transient_network", "http_server_error"] : ["config", status < 400 ? "http_redirect" : "http_bad_request"];
  const [category, code] = STATUSES[status] ?? other;
  const excerpt = text.slice(0, 800).split(/\s+/).join(" ").trim().slice(0, 200);
  const wait = response.headers.get("retry-after") ?? "";
  const retryAfterMs = /^\d+$/.test(wait) ? Number(wait) * 1000 : undefined;
  return new ConnectorError(category, code, `${what} answered ${status}${excerpt && `: ${excerpt}`}`, { details: { status }, retryAfterMs });
}
