"""The host of unit tests: it runs a connector's own code natively, keeps what comes out, and hands in what is to come in. It
holds rows against their schema as the real host does, if not as thoroughly; `rapidbyte connector test` does that.

    host = TestHost()
    connector = host.open(Connector, {"url": url})
    rows, checkpoints = host.read(connector, "issues", sync_mode="incremental", cursor_field="seq")
"""

import json
from pathlib import Path

from . import host as host_module
from .connector import Checkpoint, Stream, cursor_kind
from .errors import ConnectorError
from .session import Sessions

LIMITS = {
    "max_batch_bytes": 8 * 1024 * 1024,
    "max_record_bytes": 1024 * 1024,
    "max_inflight_batches": 4,
    "checkpoint_interval_bytes": 64 * 1024 * 1024,
    "checkpoint_interval_rows": 1_000_000,
    "checkpoint_interval_seconds": 60,
}
_PYTHON_TYPES = {"int": int, "uint": int, "float": (int, float), "utf8": str, "large_utf8": str, "boolean": bool}
_SCHEMA_FILE = Path(__file__).parents[2] / "config.schema.json"


class TestHost:
    """One host for one test."""

    __test__ = False

    def __init__(self, limits=None):
        self.limits = {**LIMITS, **(limits or {})}
        self.logs, self.metrics, self.state = [], [], {}
        self.stop_after_checkpoints = None
        self.reply = "resume"
        self._reset()
        host_module.use(self)

    def _reset(self):
        # What came out, in order: a list of rows, or a checkpoint.
        self.out = []
        self.checkpoints, self.receipts, self.incoming = [], [], []

    # ---- What a test calls

    def open(self, connector_class, config):
        """Opens a connector with a config, which is held against `config.schema.json`."""
        sessions = Sessions(connector_class, json.loads(_SCHEMA_FILE.read_text("utf-8")))
        session, connector = sessions.open(json.dumps(config))
        connector._test_session = (sessions, session)
        return connector

    def validate(self, connector):
        sessions, session = connector._test_session
        return sessions.validate(session)

    def discover(self, connector, stream=None):
        """The catalog, as a list of `Stream`."""
        sessions, session = connector._test_session
        return sessions.run(session, "discover", stream)[1]

    def read(self, connector, name, *, max_records=None, dry_run=False, **stream):
        """Reads a stream; answers its rows and the checkpoints."""
        self._reset()
        sessions, session = connector._test_session
        it = Stream(name, None, limits=self.limits, **stream)
        if it.position is not None and it.position_kind is None:
            found = next((known for known in connector.discover() if known.name == name), None)
            it.position_kind = found and cursor_kind(found.schema, it.cursor_field)
        self.summary = sessions.run(session, "read", it, dry_run, max_records)[1]
        return [row for batch in self.out if isinstance(batch, list) for row in batch], self.checkpoints

    def write(self, connector, name, schema, events, **stream):
        """Writes lists of rows and `Checkpoint`s; answers the checkpoints that were confirmed."""
        self._reset()
        sessions, session = connector._test_session
        self.incoming = list(events)
        it = Stream(name, schema, pipeline="test", limits=self.limits, **{"write_mode": "append", **stream})
        self.summary = sessions.run(session, "write", it)[1]
        return self.checkpoints

    def transform(self, connector, name, schema, events, **stream):
        """Sends lists of rows and `Checkpoint`s through; answers what came out, in order."""
        self._reset()
        sessions, session = connector._test_session
        self.incoming = list(events)
        it = Stream(name, schema, pipeline="test", limits=self.limits, **stream)
        self.summary = sessions.run(session, "transform", it)[1]
        return self.out

    # ---- What the connector calls

    def emit(self, schema, text):
        from .schema import Schema

        rows = [json.loads(line) for line in text.split("\n")]
        if len(text.encode()) > self.limits["max_batch_bytes"]:
            raise ConnectorError("frame", "frame_too_large", "the rows exceed `max-batch-bytes`")
        columns = {column.name: column for column in Schema.from_bytes(schema).fields}
        for row in rows:
            for name in row:
                if name not in columns:
                    raise ConnectorError("frame", "json_malformed", f"the rows do not fit: there is no column `{name}`")
            for name, column in columns.items():
                _check(row.get(name), column)
        self.out.append(rows)
        return len(rows), len(text)

    def next(self):
        if not self.incoming:
            return None
        event = self.incoming.pop(0)
        if isinstance(event, Checkpoint):
            return event
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in event)
        return text, len(event), len(text)

    def checkpoint(self, kind, checkpoint):
        if kind == "receipt":
            self.receipts.append(checkpoint)
            return self.reply
        self.checkpoints.append(checkpoint)
        if kind == "transform":
            self.out.append(checkpoint)
        return "accepted"

    def cancelled(self):
        return self.stop_after_checkpoints is not None and len(self.checkpoints) >= self.stop_after_checkpoints

    def log(self, level, message, fields):
        self.logs.append((level, message, fields))

    def metric(self, name, kind, value, labels):
        self.metrics.append((name, kind, value, labels))

    def state_get(self, scope, key):
        return self.state.get((scope, key))

    def state_put(self, scope, key, value):
        self.state[scope, key] = value

    def state_compare_and_swap(self, scope, key, expected, value):
        if self.state.get((scope, key)) != expected:
            return False
        self.state[scope, key] = value
        return True

    def connect(self, _name, _port, _secure):
        """None: `http` makes an ordinary connection."""
        return None


def _check(value, column):
    malformed = lambda what: ConnectorError("frame", "json_malformed", f"the rows do not fit: {what}")
    if value is None:
        if not column.nullable:
            raise malformed(f"column `{column.name}` has no value, and may not be null")
        return
    expected = _PYTHON_TYPES.get(column.type.rstrip("0123456789") if "utf8" not in column.type else column.type)
    wrong_bool = isinstance(value, bool) and column.type != "boolean"
    if expected and (wrong_bool or not isinstance(value, expected)):
        raise malformed(f"column `{column.name}` is {column.type}, not {value!r}")
