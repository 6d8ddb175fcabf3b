/**
 * The remote API: what is asked and what is answered. CHANGE all of it; statuses, retries after a lost connection and limits of
 * size are the client's.
 */

import { HttpClient } from "./rapidbyte/http.js";

/** The API with its credentials. */
export class Api {
  constructor(config) {
    this.http = new HttpClient(config.url, { token: config.token });
  }

  /** The next issues behind `after`, in order of `seq`, and whether there are more. */
  async issues(after, limit) {
    const page = await this.http.get("issues", { after, limit });
    // Columns that the API adds one day are not ours yet.
    const items = page.items.map(({ id, title, state, points, seq }) => ({ id, title, state, points, seq }));
    return { items, hasMore: page.has_more };
  }
}
