"""Columns, and the bytes that Arrow writes a schema as (one IPC message, a flatbuffer inside). Rows themselves travel as JSON,
so nothing more of Arrow is needed here.

A type is a text: `null boolean int8…int64 uint8…uint64 float16 float32 float64 utf8 large_utf8 binary large_binary date32
date64 time32(s) time32(ms) time64(us) time64(ns) timestamp(s|ms|us|ns) timestamp(us, UTC) decimal128(12, 2)
decimal256(50, 10)`, and `list`, `large_list` and `struct` with `children`.
"""

import re
import struct
from dataclasses import dataclass, field

from .errors import schema_error

_UNITS = ["s", "ms", "us", "ns"]
_FLOATS = ["float16", "float32", "float64"]
# Arrow's numbers for types without parameters.
_PLAIN = {"null": 1, "binary": 4, "utf8": 5, "boolean": 6, "list": 12, "struct": 13, "large_binary": 19, "large_utf8": 20, "large_list": 21}
_PLAIN_NAMES = {number: name for name, number in _PLAIN.items()}
_METADATA_V5 = 4
_SCHEMA_MESSAGE = 1
_CONTINUES = b"\xff\xff\xff\xff"


@dataclass(frozen=True)
class Field:
    """A column."""

    name: str
    type: str
    nullable: bool = True
    children: tuple = ()
    metadata: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Schema:
    """The columns of a stream, in order."""

    fields: tuple
    metadata: dict = field(default_factory=dict)
    # As it came. A schema that is passed on unchanged keeps what is not understood here.
    encoded: bytes = field(default=b"", compare=False, repr=False)

    @staticmethod
    def of(*fields):
        return Schema(tuple(fields))

    def field(self, name):
        """The column of a name; none if there is none."""
        return next((column for column in self.fields if column.name == name), None)

    def to_bytes(self):
        return self.encoded or _encode(self)

    @staticmethod
    def from_bytes(encoded):
        return _decode(bytes(encoded))


class _Writer:
    """Writes a flatbuffer front to back. Whatever stands in a table takes four bytes, so everything is aligned to four."""

    def __init__(self):
        self.out = bytearray(4)

    def align(self):
        self.out += bytes(-len(self.out) % 4)

    def point(self, place, target):
        struct.pack_into("<I", self.out, place, target - place)

    def table(self, slots):
        """`slots`: number to an integer, or to a function that writes what is pointed to."""
        vtable_bytes = 4 + 2 * (max(slots, default=-1) + 1)
        self.out += bytes(-(len(self.out) + vtable_bytes) % 4)
        vtable = len(self.out)
        self.out += bytes(vtable_bytes)
        start = len(self.out)
        self.out += bytes(4 + 4 * len(slots))
        struct.pack_into("<HH", self.out, vtable, vtable_bytes, 4 + 4 * len(slots))
        struct.pack_into("<i", self.out, start, start - vtable)
        for index, (slot, value) in enumerate(slots.items()):
            place = 4 + 4 * index
            struct.pack_into("<H", self.out, vtable + 4 + 2 * slot, place)
            if callable(value):
                self.point(start + place, value())
            else:
                struct.pack_into("<i", self.out, start + place, value)
        return start

    def text(self, text):
        self.align()
        start, encoded = len(self.out), text.encode()
        self.out += struct.pack("<I", len(encoded)) + encoded + b"\0"
        return start

    def vector(self, writers):
        self.align()
        start = len(self.out)
        self.out += struct.pack("<I", len(writers)) + bytes(4 * len(writers))
        for index, write in enumerate(writers):
            self.point(start + 4 + 4 * index, write())
        return start


def _encode(schema):
    out = _Writer()

    def pairs(metadata):
        pair = lambda key, value: lambda: out.table({0: lambda: out.text(key), 1: lambda: out.text(value)})
        return lambda: out.vector([pair(key, value) for key, value in metadata.items()])

    def column(it):
        number, parameters = _type_number(it, out)
        slots = {
            0: lambda: out.text(it.name),
            1: int(it.nullable),
            2: number,
            3: lambda: out.table(parameters),
            5: lambda: out.vector([lambda child=child: column(child) for child in it.children]),
        }
        if it.metadata:
            slots[6] = pairs(it.metadata)
        return out.table(slots)

    slots = {1: lambda: out.vector([lambda it=it: column(it) for it in schema.fields])}
    if schema.metadata:
        slots[2] = pairs(schema.metadata)
    root = out.table({0: _METADATA_V5, 1: _SCHEMA_MESSAGE, 2: lambda: out.table(slots)})
    out.point(0, root)
    out.out += bytes(-len(out.out) % 8)
    return _CONTINUES + struct.pack("<i", len(out.out)) + bytes(out.out) + _CONTINUES + bytes(4)


def _type_number(column, out):
    """Arrow's number for a type, and the slots of its table."""
    name, _, rest = column.type.partition("(")
    parameters = [part.strip() for part in rest.rstrip(")").split(",")] if rest else []
    if name in _PLAIN and not parameters:
        return _PLAIN[name], {}
    if name in _FLOATS:
        return 3, {0: _FLOATS.index(name)}
    if match := re.fullmatch(r"(u?)int(8|16|32|64)", name):
        return 2, {0: int(match[2]), 1: int(not match[1])}
    if name in ("decimal128", "decimal256") and len(parameters) == 2:
        return 7, {0: int(parameters[0]), 1: int(parameters[1]), 2: int(name[7:])}
    if name in ("date32", "date64"):
        return 8, {0: int(name == "date64")}
    if name in ("time32", "time64") and parameters and parameters[0] in _UNITS:
        return 9, {0: _UNITS.index(parameters[0]), 1: int(name[4:])}
    if name == "timestamp" and parameters and parameters[0] in _UNITS:
        slots = {0: _UNITS.index(parameters[0])}
        if len(parameters) > 1:
            slots[1] = lambda: out.text(parameters[1])
        return 10, slots
    raise schema_error("unknown_type", f"column `{column.name}` has type `{column.type}`, which cannot be written here")


class _Table:
    """A table of a flatbuffer that the host has checked."""

    def __init__(self, data, start):
        self.data, self.start = data, start
        self.vtable = start - struct.unpack_from("<i", data, start)[0]
        self.slots = (struct.unpack_from("<H", data, self.vtable)[0] - 4) // 2

    def place(self, slot):
        offset = struct.unpack_from("<H", self.data, self.vtable + 4 + 2 * slot)[0] if slot < self.slots else 0
        return self.start + offset if offset else None

    def number(self, slot, form, default=0):
        place = self.place(slot)
        return default if place is None else struct.unpack_from("<" + form, self.data, place)[0]

    def target(self, slot):
        place = self.place(slot)
        return None if place is None else place + struct.unpack_from("<I", self.data, place)[0]

    def table(self, slot):
        return _Table(self.data, self.target(slot))

    def text(self, slot):
        target = self.target(slot)
        if target is None:
            return ""
        length = struct.unpack_from("<I", self.data, target)[0]
        return self.data[target + 4 : target + 4 + length].decode()

    def tables(self, slot):
        target = self.target(slot)
        if target is None:
            return []
        places = [target + 4 + 4 * index for index in range(struct.unpack_from("<I", self.data, target)[0])]
        return [_Table(self.data, place + struct.unpack_from("<I", self.data, place)[0]) for place in places]


def _decode(encoded):
    if len(encoded) < 16 or encoded[:4] != _CONTINUES:
        raise schema_error("schema_malformed", "the schema is no Arrow IPC message")
    data = encoded[8:]
    schema = _Table(data, struct.unpack_from("<I", data)[0]).table(2)

    def pairs(table, slot):
        return {pair.text(0): pair.text(1) for pair in table.tables(slot)}

    def column(table):
        children = tuple(column(child) for child in table.tables(5))
        kind = "dictionary" if table.place(4) else _type_name(table.number(2, "B"), table.table(3))
        return Field(table.text(0), kind, bool(table.number(1, "B")), children, pairs(table, 6))

    return Schema(tuple(column(table) for table in schema.tables(1)), pairs(schema, 2), encoded)


def _type_name(number, table):
    if number in _PLAIN_NAMES:
        return _PLAIN_NAMES[number]
    if number == 2:
        return f"{'' if table.number(1, 'B') else 'u'}int{table.number(0, 'i')}"
    if number == 3:
        return _FLOATS[table.number(0, "h")]
    if number == 7:
        return f"decimal{table.number(2, 'i', 128)}({table.number(0, 'i')}, {table.number(1, 'i')})"
    if number == 8:
        return "date64" if table.number(0, "h", 1) else "date32"
    if number == 9:
        return f"time{table.number(1, 'i', 32)}({_UNITS[table.number(0, 'h', 1)]})"
    if number == 10:
        zone = table.text(1)
        return f"timestamp({_UNITS[table.number(0, 'h')]}{', ' + zone if zone else ''})"
    return f"unknown({number})"
