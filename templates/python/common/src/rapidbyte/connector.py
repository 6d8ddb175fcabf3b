"""The three roles, and what a connector is given and gives back. Nothing here knows WebAssembly: a unit test calls the same."""

import json
import time
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal

from . import host
from .errors import ConnectorError, config_error, data_error, internal_error
from .schema import Schema

# A frame may be larger than its rows' text, where these are short; what is refused as too large is halved.
_TEXT_BYTES_TARGET = 1024 * 1024


@dataclass
class Stream:
    """What a source offers when it discovers, and what a connector is asked to move."""

    name: str
    schema: Schema
    primary_key: list = field(default_factory=list)
    # Columns that can order an incremental read.
    cursor_fields: list = field(default_factory=list)
    # None: those of the connector.
    sync_modes: list = None
    # From here on set by the host, for `read`, `write` and `transform`.
    pipeline: str = ""
    sync_mode: str = "full_refresh"
    cursor_field: str = None
    # Continue behind this value of the cursor field. None: from the beginning.
    position: object = None
    position_kind: str = None
    columns: list = field(default_factory=list)
    write_mode: str = None
    update_columns: list = field(default_factory=list)
    partition: tuple = (0, 1)
    limits: dict = field(default_factory=dict)
    policies: dict = field(default_factory=dict)


@dataclass
class Checkpoint:
    """A place in a stream, in the host's words. A destination stores it with the data, as `to_json()`."""

    id: int
    cursor: dict = None
    records: int = 0
    bytes: int = 0
    complete: bool = False
    stream: str = ""

    def to_json(self):
        return {"id": self.id, "cursor": self.cursor, "complete": self.complete}

    @staticmethod
    def from_json(stored):
        return Checkpoint(int(stored["id"]), stored["cursor"], complete=bool(stored["complete"]))


class Batch:
    """Rows of a stream."""

    def __init__(self, schema, text, records):
        self.schema = schema
        # A JSON object on each line, exact: what only passes them on need not read them.
        self.text = text
        self.records = records

    def rows(self):
        """The rows as dicts. Decimals are `decimal.Decimal`, binary is hexadecimal text, instants are ISO 8601 text."""
        # Not `splitlines`: a text may have other ends of lines inside.
        lines = [line for line in self.text.split("\n") if line]
        decimals = [column.name for column in self.schema.fields if column.type.startswith("decimal")]
        if not decimals:
            return [json.loads(line) for line in lines]
        rows = [json.loads(line, parse_float=Decimal) for line in lines]
        for row in rows:
            for name, value in row.items():
                if name not in decimals:
                    row[name] = _floats(value)
                elif isinstance(value, int):
                    row[name] = Decimal(value)
        return rows


def _floats(value):
    """Undoes `parse_float=Decimal`."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [_floats(item) for item in value]
    if isinstance(value, dict):
        return {name: _floats(item) for name, item in value.items()}
    return value


def _json_value(value):
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    raise data_error("not_json", f"a value of type `{type(value).__name__}` cannot travel")


def _line(row):
    return json.dumps(row, default=_json_value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class _Emitter:
    """Hands rows on in frames that are no larger than the run allows."""

    def __init__(self, schema, limits):
        self.encoded = schema.to_bytes()
        self.record_bytes_max = limits["max_record_bytes"]
        self.text_bytes_max = min(_TEXT_BYTES_TARGET, limits["max_batch_bytes"])
        self.records = self.bytes = self.batches = 0

    def rows(self, rows):
        lines, size = [], 0
        for row in rows:
            try:
                line = _line(row)
            except ValueError as error:
                raise data_error("not_json", f"a row cannot travel: {error}") from None
            length = len(line.encode())
            if length > self.record_bytes_max:
                message = f"a row takes {length} bytes, `max_record_bytes` is {self.record_bytes_max}"
                raise data_error("record_too_large", message, scope="per_record")
            if lines and size + length > self.text_bytes_max:
                self.lines(lines)
                lines, size = [], 0
            lines.append(line)
            size += length + 1
        if lines:
            self.lines(lines)

    def lines(self, lines):
        try:
            records, size = host.current().emit(self.encoded, "\n".join(lines))
        except ConnectorError as error:
            if error.code == "frame_too_large" and len(lines) > 1:
                self.lines(lines[: len(lines) // 2])
                self.lines(lines[len(lines) // 2 :])
                return
            if error.code == "frame_too_large":
                raise data_error("record_too_large", "a row is larger than a frame may be", scope="per_record") from None
            if error.code == "json_malformed":
                raise data_error("row_malformed", error.message) from None
            raise
        self.records += records
        self.bytes += size
        self.batches += 1


class Enough(Exception):
    """As many records were emitted as were asked for."""


class Output:
    """Where a source puts its rows."""

    def __init__(self, stream, max_records):
        self.stream = stream
        # How many records are still wanted; None: all.
        self.left = max_records
        self.checkpoints = 0
        self._emitter = _Emitter(stream.schema, stream.limits)
        self._since = (0, 0, time.monotonic())

    def emit(self, rows):
        """Hands on rows: dicts by column name. Waits while whoever takes them is busy. More rows than are wanted are left
        out, and the read ends."""
        if self.left is None:
            return self._emitter.rows(rows)
        rows = list(rows)
        self._emitter.rows(rows[: self.left])
        if len(rows) > self.left:
            raise Enough
        self.left -= len(rows)

    @property
    def cancelled(self):
        """Whether the run is asked to end: make a checkpoint and return."""
        return host.current().cancelled()

    @property
    def checkpoint_due(self):
        """Whether as much was emitted, or as much time has passed, as should lie between two checkpoints."""
        records, size, moment = self._since
        limits = self.stream.limits
        return (
            self._emitter.records - records >= limits["checkpoint_interval_rows"]
            or self._emitter.bytes - size >= limits["checkpoint_interval_bytes"]
            or time.monotonic() - moment >= limits["checkpoint_interval_seconds"]
        )

    def checkpoint(self, value, kind=None):
        """Says that every row up to this value of the cursor field has been emitted: an interrupted run continues behind it.
        `kind` is one of the contract's kinds of cursor; by default it follows from the column's type."""
        column = self.stream.cursor_field
        cursor = {"field": column, "kind": kind or cursor_kind(self.stream.schema, column), "value": value}
        records, size, _ = self._since
        event = Checkpoint(
            0, cursor, self._emitter.records - records, self._emitter.bytes - size, stream=self.stream.name
        )
        host.current().checkpoint("source", event)
        self.checkpoints += 1
        self._since = (self._emitter.records, self._emitter.bytes, time.monotonic())

    def summary(self):
        it = self._emitter
        return {"records": it.records, "bytes": it.bytes, "batches": it.batches, "checkpoints": self.checkpoints, "skipped": 0}


def cursor_kind(schema, column):
    """The kind of cursor that a column's values are."""
    found = schema.field(column) if column else None
    kind = found.type if found else ""
    if kind.startswith(("int", "uint")):
        return "int64"
    if kind.startswith("decimal"):
        return "decimal"
    if kind.startswith("timestamp(us"):
        return "timestamp_micros"
    if kind.startswith("timestamp"):
        return "timestamp_millis"
    return "utf8"


def micros(text):
    """An instant in ISO 8601 as microseconds since 1970, as a cursor of kind `timestamp_micros` wants it."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    delta = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


class Input:
    """What comes to a destination, in order: `Batch` and `Checkpoint`. Ends when nothing follows."""

    def __init__(self, stream):
        self.stream = stream
        self.records = self.bytes = self.batches = self.checkpoints = 0

    def __iter__(self):
        while (event := host.current().next()) is not None:
            if isinstance(event, Checkpoint):
                yield event
                continue
            text, records, size = event
            self.records += records
            self.bytes += size
            self.batches += 1
            yield Batch(self.stream.schema, text, records)

    def report_receipt(self, checkpoint):
        """Tells the host, before anything is taken, what the last commit of this stream was. Answers `resume` (what follows
        continues behind it) or `restart` (drop what is staged)."""
        return host.current().checkpoint("receipt", checkpoint)

    def committed(self, checkpoint):
        """Tells the host that everything before this checkpoint is durable, and the checkpoint with it."""
        try:
            host.current().checkpoint("destination", checkpoint)
        except ConnectorError as error:
            # That it could not be told changes nothing about it.
            error.commit = "after_commit_confirmed"
            raise
        self.checkpoints += 1

    def summary(self):
        return {
            "records": self.records,
            "bytes": self.bytes,
            "batches": self.batches,
            "checkpoints": self.checkpoints,
            "failed": 0,
        }


class _Role:
    # What the manifest says too; `rapidbyte connector test` compares.
    sync_modes = []
    write_modes = []
    transactional = False
    projection = False

    def open(self, config):
        """Takes the config, which keeps `config.schema.json`. Raise a `config_error` for what a schema cannot say."""

    def validate(self):
        """Tries what a run would need; raises if it would fail. May answer a sentence for people."""

    def close(self):
        """Lets go of what `open` took."""


class Source(_Role):
    """Reads streams."""

    role = "source"

    def discover(self):
        """The streams there are: a list of `Stream`."""
        raise internal_error("not_written", "`discover` is not written")

    def read(self, stream, out):
        """Emits the stream's rows into `out`, from behind `stream.position`, and makes checkpoints."""
        raise internal_error("not_written", "`read` is not written")


class Destination(_Role):
    """Writes streams."""

    role = "destination"

    def check(self, stream):
        """Raises if the stream cannot be written as it is asked for."""

    def write(self, stream, events):
        """Takes batches, and makes them durable together with each checkpoint."""
        raise internal_error("not_written", "`write` is not written")


class Transform(_Role):
    """Changes streams on their way."""

    role = "transform"

    def schema(self, schema):
        """The schema that flows out where this one flows in; raises where it does not fit."""
        return schema

    def rows(self, rows, stream):
        """The rows that flow out for these."""
        raise internal_error("not_written", "`rows` is not written")


class TransformRun:
    """Takes batches, changes their rows, hands them on, and the checkpoints behind them."""

    def __init__(self, connector, stream):
        self.connector, self.stream = connector, stream
        self.input = Input(stream)
        self.emitter = _Emitter(connector.schema(stream.schema), stream.limits)

    def go(self):
        for event in self.input:
            if isinstance(event, Checkpoint):
                host.current().checkpoint("transform", event)
            else:
                self.emitter.rows(self.connector.rows(event.rows(), self.stream))
        return {
            "records_in": self.input.records,
            "records_out": self.emitter.records,
            "bytes_in": self.input.bytes,
            "bytes_out": self.emitter.bytes,
            "batches": self.emitter.batches,
        }


def unknown_stream(name, known):
    names = ", ".join(f"`{stream.name}`" for stream in known)
    return config_error("streams", f"has no `{name}`, there is {names or 'none'}", code="unknown_stream")
