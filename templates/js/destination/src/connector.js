/**
 * `@name@`: writes streams as JSON Lines files to a folder, each row exactly once.
 *
 * Everything marked CHANGE is about files; the order of steps in `write` is what any destination does.
 */

import { Batch, Destination } from "./rapidbyte/index.js";
import { Store, probe } from "./store.js";

/** Writes files. */
export class Connector extends Destination {
  static writeModes = ["append"];
  /** Data and receipt become durable together. */
  static transactional = true;

  open(config) {
    this.path = config.path;
  }

  validate() {
    probe(this.path);
    return `\`${this.path}\` can be written`;
  }

  write(stream, events) {
    // 1. Finish or undo what an interrupted run left, and say what is committed. The host answers by sending what follows.
    const store = new Store(this.path, stream);
    const receipt = store.recover();
    if (receipt) events.reportReceipt(receipt);
    for (const event of events) {
      if (event instanceof Batch) {
        // 2. Write batches where nobody sees them yet. CHANGE: the format; `event.rows()` are objects.
        store.add(event.text);
      } else {
        // 3. Make data and checkpoint durable in one step, then say so. In a database that is one transaction.
        store.commit(event);
        events.committed(event);
      }
    }
    // What no checkpoint covers is not committed; the next run gets it again.
  }
}
