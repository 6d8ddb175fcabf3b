"""`@name@`: reads issues from a REST API, page by page, in full or only what is new.

Everything marked CHANGE is about the example API; the rest is what any source does.
"""

from api import Api
from rapidbyte import Field, Schema, Source, Stream, internal_error

# CHANGE: the streams, their columns, and the column that orders each.
ISSUES = Stream(
    name="issues",
    schema=Schema.of(
        Field("id", "int64", nullable=False),
        Field("title", "utf8", nullable=False),
        Field("state", "utf8", nullable=False),
        Field("points", "float64"),
        Field("seq", "int64", nullable=False),
    ),
    primary_key=["id"],
    cursor_fields=["seq"],
)


class Connector(Source):
    """Reads the API."""

    sync_modes = ["full_refresh", "incremental"]

    def open(self, config):
        self.api = Api(config)
        self.page_size = config.page_size

    def validate(self):
        self.api.issues(after=0, limit=1)
        return "the API answers and takes the token"

    def discover(self):
        return [ISSUES]

    def read(self, stream, out):
        """Page after page, until there is nothing new or the run is asked to end."""
        after = stream.position or 0
        while out.left != 0 and not out.cancelled:
            limit = self.page_size if out.left is None else min(self.page_size, out.left)
            page = self.api.issues(after, limit)
            rows = page["items"]
            if not rows:
                break
            order = [after, *(row["seq"] for row in rows)]
            if any(first >= second for first, second in zip(order, order[1:])) or len(rows) > limit:
                message = "the API did not answer what was asked for: issues behind `after`, in order of `seq`"
                raise internal_error("api_order", message)
            after = rows[-1]["seq"]
            out.emit(rows)
            done = not page["has_more"] or out.left == 0
            # Everything up to here can be committed: an interrupted run goes on behind it.
            if stream.sync_mode == "incremental" and (done or out.checkpoint_due):
                out.checkpoint(after)
            if done:
                break
