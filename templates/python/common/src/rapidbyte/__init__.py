"""What a Rapidbyte connector in Python is written with. Part of your project: read it, and change it where it is in the way.

A connector is a class called `Connector` in `src/connector.py`, made from `Source`, `Destination` or `Transform`:

    from rapidbyte import Field, Source, Stream

    class Connector(Source):
        sync_modes = ["full_refresh", "incremental"]

        def open(self, config): ...         # config: checked against config.schema.json, defaults filled in
        def validate(self): ...             # reach what a run would reach; raise an error if that fails
        def discover(self): ...             # a list of `Stream`
        def read(self, stream, out): ...    # out.emit(rows), out.checkpoint(cursor)

What goes wrong is raised as a `ConnectorError`; its makers (`config_error`, `auth_error`, …) say who can mend it. Anything
else that is raised is a defect of the connector and reported as such.

| module | owns |
| --- | --- |
| `connector` | the three roles, what they are given and give back |
| `errors` | the one error |
| `schema` | columns, and the bytes that Arrow writes a schema as |
| `config` | holding a config against its JSON Schema |
| `http` | HTTP over connections that the host makes |
| `host` | log, metrics, state: what the host does besides |
| `testing` | the host of unit tests |
| `session`, `guest` | how all this is called; not for authors |
"""

from .connector import Batch, Checkpoint, Destination, Source, Stream, Transform
from .errors import (
    ConnectorError,
    auth_error,
    config_error,
    data_error,
    internal_error,
    permission_error,
    schema_error,
    transient_error,
)
from .host import log, metric, state
from .schema import Field, Schema

__all__ = [
    "Batch",
    "Checkpoint",
    "ConnectorError",
    "Destination",
    "Field",
    "Schema",
    "Source",
    "Stream",
    "Transform",
    "auth_error",
    "config_error",
    "data_error",
    "internal_error",
    "log",
    "metric",
    "permission_error",
    "schema_error",
    "state",
    "transient_error",
]
