"""`@name@`: trims text columns and changes their case.

Everything marked CHANGE is about this one change; the rest is what any transform does.
"""

from rapidbyte import Transform, config_error

CASES = {"keep": str, "lower": str.lower, "upper": str.upper}


class Connector(Transform):
    """Changes columns."""

    def open(self, config):
        self.columns = config.columns
        self.change_case = CASES[config.case]

    def schema(self, schema):
        """CHANGE: the schema that flows out. Here it is the one that flows in, if it has the columns."""
        for name in self.columns:
            column = schema.field(name)
            if column is None:
                raise config_error("columns", f"names `{name}`, which the stream does not have")
            if column.type not in ("utf8", "large_utf8"):
                raise config_error("columns", f"names `{name}`, which is `{column.type}`, not text")
        return schema

    def rows(self, rows, stream):
        """CHANGE: one batch."""
        for row in rows:
            for name in self.columns:
                if row[name] is not None:
                    row[name] = self.change_case(row[name].strip())
        return rows
