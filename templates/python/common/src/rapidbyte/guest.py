"""The connector as a component: between the contract's types, as componentize-py makes them, and `session`. Imported in
components only.
"""

import io

import wit_world.imports.core_types as core
import wit_world.imports.host_io as host_io
import wit_world.imports.stream_types as streams
import wit_world.imports.telemetry as telemetry
from componentize_py_types import Err

from . import host
from .connector import Checkpoint, Stream
from .errors import ConnectorError
from .schema import Schema
from .session import Sessions

_CONTRACT = "4.0.0"
_CURSORS = {
    "int64": streams.CursorValue_Int64,
    "utf8": streams.CursorValue_Utf8,
    "timestamp_millis": streams.CursorValue_TimestampMillis,
    "timestamp_micros": streams.CursorValue_TimestampMicros,
    "decimal": streams.CursorValue_Decimal,
    "json": streams.CursorValue_Json,
    "lsn": streams.CursorValue_Lsn,
}
_METRICS = {
    "counter": telemetry.MetricValue_Counter,
    "gauge": telemetry.MetricValue_Gauge,
    "histogram": telemetry.MetricValue_Histogram,
}
_CONNECT_TIMEOUT_MS = 30_000


def _word(member):
    return member.name.lower()


def _enum(kind, word):
    return kind[word.upper()]


def _to_wit_error(error):
    return core.ConnectorError(
        category=_enum(core.ErrorCategory, error.category),
        scope=_enum(core.ErrorScope, error.scope),
        code=error.code,
        message=error.message,
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms,
        backoff=_enum(core.BackoffClass, error.backoff),
        safe_to_retry=error.safe_to_retry,
        commit=_enum(core.CommitState, error.commit) if error.commit else None,
        details=error.details_json(),
    )


def _from_wit_error(wit):
    error = ConnectorError(
        _word(wit.category), wit.code, wit.message, retry_after_ms=wit.retry_after_ms, scope=_word(wit.scope)
    )
    error.retryable, error.backoff, error.safe_to_retry = wit.retryable, _word(wit.backoff), wit.safe_to_retry
    error.details_json = lambda: wit.details
    return error


def _call(function, *arguments):
    """A call of the host, whose refusals are raised."""
    try:
        return function(*arguments)
    except Err as refused:
        raise _from_wit_error(refused.value) from None


def _answer(function, *arguments):
    """A call of the host's, whose errors are told to it."""
    try:
        return function(*arguments)
    except ConnectorError as error:
        raise Err(_to_wit_error(error)) from None


def _to_wit_cursor(cursor):
    if cursor is None:
        return None
    return streams.Cursor(cursor["field"], _CURSORS[cursor["kind"]](cursor["value"]))


def _from_wit_cursor(cursor):
    if cursor is None:
        return None
    return {"field": cursor.field, "kind": _kind(cursor.value), "value": cursor.value.value}


def _kind(value):
    return next(kind for kind, variant in _CURSORS.items() if isinstance(value, variant))


_WRITE_BYTES = 512 * 1024


class _Reader(io.RawIOBase):
    def __init__(self, socket):
        self.socket = socket

    def readable(self):
        return True

    def readinto(self, into):
        read = _call(host_io.tcp_read, self.socket, len(into))
        into[: len(read)] = read
        return len(read)


class _Socket:
    """A connection of the host's as far as `http.client` wants a socket. It is let go of when nobody refers to it."""

    def __init__(self, socket):
        self.socket = socket

    def makefile(self, _mode, *_):
        return io.BufferedReader(_Reader(self.socket), 64 * 1024)

    def sendall(self, data):
        data = bytes(data)
        for start in range(0, len(data), _WRITE_BYTES):
            _call(host_io.tcp_write, self.socket, data[start : start + _WRITE_BYTES])

    def close(self):
        self.socket = None


class _Host:
    def emit(self, schema, text):
        frame = _call(host_io.Frame.from_json, schema, text)
        counts = frame.records(), frame.bytes()
        _call(host_io.batch_emit, frame)
        return counts

    def next(self):
        event = _call(host_io.batch_next)
        if isinstance(event, host_io.BatchEvent_Frame):
            with event.value as frame:
                return _call(frame.to_json), frame.records(), frame.bytes()
        if isinstance(event, host_io.BatchEvent_Checkpoint):
            it = event.value
            return Checkpoint(it.id, _from_wit_cursor(it.cursor), it.records, it.bytes, it.complete, it.stream)
        return None

    def checkpoint(self, kind, it):
        event = telemetry.CheckpointEvent(
            _enum(telemetry.CheckpointKind, kind),
            it.stream,
            it.id,
            _to_wit_cursor(it.cursor),
            it.records,
            it.bytes,
            it.complete,
        )
        return _word(_call(host_io.telemetry_checkpoint, event))

    def cancelled(self):
        return host_io.cancelled()

    def log(self, level, message, fields):
        fields = [(name, _field_value(value)) for name, value in fields.items()]
        host_io.telemetry_log(telemetry.LogEvent(_enum(telemetry.LogLevel, level), str(message), fields))

    def metric(self, name, kind, value, labels):
        labels = [(name, str(value)) for name, value in labels.items()]
        host_io.telemetry_metric(telemetry.MetricEvent(name, _METRICS[kind](value), labels))

    def state_get(self, scope, key):
        return _call(host_io.state_get, _enum(host_io.StateScope, scope), key)

    def state_put(self, scope, key, value):
        _call(host_io.state_put, _enum(host_io.StateScope, scope), key, value)

    def state_compare_and_swap(self, scope, key, expected, value):
        return _call(host_io.state_compare_and_swap, _enum(host_io.StateScope, scope), key, expected, value)

    def connect(self, name, port, secure):
        socket = _call(host_io.tcp_connect, name, port, _CONNECT_TIMEOUT_MS)
        if secure:
            options = host_io.TlsOptions(name, host_io.TlsVerification.FULL, None, ["http/1.1"])
            _call(host_io.tcp_start_tls, socket, options)
        return _Socket(socket)


def _field_value(value):
    if isinstance(value, bool):
        return telemetry.FieldValue_Boolean(value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return telemetry.FieldValue_Int(value)
    if isinstance(value, float):
        return telemetry.FieldValue_Float(value)
    return telemetry.FieldValue_Text(str(value))


def _stream(context, role):
    """The stream that a call is about."""
    if context is None:
        return None
    cursor_field = context.cursor.field if context.cursor else None
    stream = Stream(
        name=context.name,
        schema=Schema.from_bytes(context.schema) if role != "source" else Schema(()),
        pipeline=context.pipeline,
        sync_mode=_word(context.sync_mode),
        cursor_field=cursor_field,
        columns=list(context.columns),
        partition=(context.partition.index, context.partition.count),
        limits=vars(context.limits),
        policies={name: _word(value) for name, value in vars(context.policies).items()},
    )
    if context.position is not None:
        stream.position, stream.position_kind = context.position.value, _kind(context.position)
    if context.write is not None:
        stream.write_mode = _word(context.write.mode)
        stream.primary_key = list(context.write.primary_key)
        stream.update_columns = list(context.write.update_columns)
    return stream


def _catalog_stream(connector, stream):
    return streams.CatalogStream(
        name=stream.name,
        schema=stream.schema.to_bytes(),
        primary_key=stream.primary_key,
        cursor_fields=stream.cursor_fields,
        sync_modes=[_enum(streams.SyncMode, mode) for mode in stream.sync_modes or connector.sync_modes],
        estimated_rows=None,
        estimated_bytes=None,
    )


def export(connector_class, connector_id, config_schema):
    """The class that componentize-py exports for the connector's role."""
    role = connector_class.role
    wit_role = _enum(core.ConnectorRole, role)
    sessions = Sessions(connector_class, config_schema)
    host.use(_Host())

    def capabilities(connector):
        flags = core.Capabilities(0)
        names = [*connector.sync_modes, *connector.write_modes]
        names += [name for name in ("transactional", "projection") if getattr(connector, name)]
        for name in names:
            flags |= _enum(core.Capabilities, name)
        return flags

    def run(session, request):
        stream = _stream(request.stream, role)
        kind, result = sessions.run(session, _word(request.phase), stream, request.dry_run, request.max_records)
        summary = streams.RunSummary(wit_role, None, None, None, None, None)
        if kind == "catalog":
            connector = sessions.open_ones[session]
            summary.catalog = streams.Catalog([_catalog_stream(connector, it) for it in result])
        elif kind == "source":
            summary.read = streams.ReadSummary(**result)
        elif kind == "destination":
            summary.write = streams.WriteSummary(**result)
        else:
            summary.transform = streams.TransformSummary(**result)
        return summary

    class Exported:
        def open(self, config_json):
            session, connector = _answer(sessions.open, config_json)
            info = core.OpenInfo(connector_id, wit_role, _CONTRACT, capabilities(connector), None)
            return core.Opened(session, info)

        def validate(self, session):
            message = _answer(sessions.validate, session)
            return core.ValidationReport(core.ValidationStatus.SUCCESS, message, [])

        def run(self, session, request):
            return _answer(run, session, request)

        def close(self, session):
            _answer(sessions.close, session)

    return Exported

