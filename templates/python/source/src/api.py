"""The remote API: what is asked and what is answered. CHANGE all of it; statuses, retries after a lost connection, limits of
size and silence are the client's.
"""

from rapidbyte.http import HttpClient

COLUMNS = ["id", "title", "state", "points", "seq"]


class Api:
    """The API with its credentials."""

    def __init__(self, config):
        self.http = HttpClient(config.url, token=config.token)

    def issues(self, after, limit):
        """The next issues behind `after`, in order of `seq`, and whether there are more."""
        page = self.http.get("issues", after=after, limit=limit)
        # Columns that the API adds one day are not ours yet.
        items = [{name: item.get(name) for name in COLUMNS} for item in page["items"]]
        return {"items": items, "has_more": page["has_more"]}
