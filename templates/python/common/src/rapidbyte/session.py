"""From the contract's four calls to a connector's methods: sessions, phases, what is checked before the connector is asked,
and what becomes of what it raises. Plain Python on both sides.
"""

import traceback
from pathlib import PurePath

from . import config as config_module
from .connector import Enough, Input, Output, TransformRun, cursor_kind, unknown_stream
from .errors import ConnectorError, config_error, internal_error

_OWN = {"source": "read", "destination": "write", "transform": "transform"}


class Sessions:
    """All sessions of one instance."""

    def __init__(self, connector_class, config_schema):
        self.connector_class = connector_class
        self.role = connector_class.role
        self.config_schema = config_schema
        self.open_ones = {}
        self.next = 1

    def open(self, config_json):
        """Answers the session and its connector."""
        connector = self.connector_class()
        self._guarded(lambda: connector.open(config_module.parse(config_json, self.config_schema)))
        session, self.next = self.next, self.next + 1
        self.open_ones[session] = connector
        return session, connector

    def validate(self, session):
        """Answers the sentence for people."""
        return self._guarded(lambda: self._connector(session).validate()) or "everything a run needs is there"

    def close(self, session):
        connector = self.open_ones.pop(session, None)
        if connector is not None:
            self._guarded(connector.close)

    def run(self, session, phase, stream, dry_run=False, max_records=None):
        """Answers `("catalog", streams)`, or the role and its summary."""
        connector = self._connector(session)
        if phase not in ("discover", _OWN[self.role]) or (phase == "discover" and self.role == "destination"):
            raise internal_error("wrong_phase", f"a {self.role} does not do `{phase}`")
        if stream is None and not (phase == "discover" and self.role == "source"):
            raise internal_error("no_stream", f"`{phase}` needs a stream")
        run = getattr(self, "_" + self.role)
        return self._guarded(run, connector, phase, stream, dry_run, max_records)

    def _source(self, connector, phase, stream, dry_run, max_records):
        known = connector.discover()
        if phase == "discover":
            return "catalog", known
        found = next((it for it in known if it.name == stream.name), None)
        if found is None:
            raise unknown_stream(stream.name, known)
        # The stream's own columns: those the pipeline was planned with may be of an earlier day.
        stream.schema = found.schema
        stream.primary_key = found.primary_key
        expected = cursor_kind(stream.schema, stream.cursor_field)
        if stream.position is not None and stream.position_kind != expected:
            message = f"`{stream.cursor_field}` is ordered by {expected}, not by {stream.position_kind}"
            raise config_error("cursor_field", f"cannot continue: {message}")
        out = Output(stream, max_records)
        if dry_run:
            connector.validate()
        else:
            try:
                connector.read(stream, out)
            except Enough:
                pass
        return "source", out.summary()

    def _destination(self, connector, _phase, stream, dry_run, _max_records):
        if stream.write_mode not in connector.write_modes:
            known = ", ".join(connector.write_modes)
            raise config_error("write_mode", f"cannot be `{stream.write_mode}`, only {known}")
        connector.check(stream)
        events = Input(stream)
        if not dry_run:
            connector.write(stream, events)
        return "destination", events.summary()

    def _transform(self, connector, phase, stream, _dry_run, _max_records):
        if phase == "discover":
            stream.schema = connector.schema(stream.schema)
            return "catalog", [stream]
        return "transform", TransformRun(connector, stream).go()

    def _connector(self, session):
        if session not in self.open_ones:
            raise internal_error("unknown_session", f"there is no session {session}")
        return self.open_ones[session]

    def _guarded(self, call, *arguments):
        """What a connector raises besides the contract's error is a defect of it, told with its place."""
        try:
            return call(*arguments)
        except ConnectorError:
            raise
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            place = f" ({PurePath(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
            message = f"{type(error).__name__}: {error}{place}"
            raise ConnectorError("internal", "python_exception", message) from error
