"""`@name@`: writes streams as JSON Lines files to a folder, each row exactly once.

Everything marked CHANGE is about files; the order of steps in `write` is what any destination does.
"""

import store
from rapidbyte import Batch, Destination


class Connector(Destination):
    """Writes files."""

    write_modes = ["append"]
    # Data and receipt become durable together.
    transactional = True

    def open(self, config):
        self.path = config.path

    def validate(self):
        store.probe(self.path)
        return f"`{self.path}` can be written"

    def write(self, stream, events):
        # 1. Finish or undo what an interrupted run left, and say what is committed. The host answers by sending what follows.
        files = store.Store(self.path, stream)
        receipt = files.recover()
        if receipt is not None:
            events.report_receipt(receipt)
        for event in events:
            if isinstance(event, Batch):
                # 2. Write batches where nobody sees them yet. CHANGE: the format; `event.rows()` are dicts.
                files.add(event.text)
            else:
                # 3. Make data and checkpoint durable in one step, then say so. In a database that is one transaction.
                files.commit(event)
                events.committed(event)
        # What no checkpoint covers is not committed; the next run gets it again.
