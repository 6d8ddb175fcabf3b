"""The bytes of schemas: what is written is read again, with names, types, nullability and metadata."""

import unittest

from rapidbyte import ConnectorError, Field, Schema


class SchemaTest(unittest.TestCase):
    def test_what_is_written_is_read(self):
        types = [
            *("null boolean int8 uint16 int64 uint64 float32 float64 utf8 large_utf8 binary date32 date64".split()),
            *["time32(s)", "time64(ns)", "timestamp(ms)", "timestamp(us, Europe/Berlin)", "decimal128(12, 2)"],
        ]
        fields = [Field(f"c{index} ü", kind, index % 2 == 0) for index, kind in enumerate(types)]
        fields.append(Field("list", "list", True, (Field("item", "int32"),)))
        fields.append(Field("struct", "struct", False, (Field("a", "utf8"), Field("b", "float64")), {"k": "v"}))
        schema = Schema(tuple(fields), {"owner": "me"})
        encoded = schema.to_bytes()
        self.assertEqual(Schema.from_bytes(encoded), schema)
        self.assertEqual(len(encoded) % 8, 0)
        self.assertEqual(Schema.from_bytes(encoded).to_bytes(), encoded)

    def test_no_columns(self):
        self.assertEqual(Schema.from_bytes(Schema.of().to_bytes()), Schema.of())

    def test_other_types_are_refused(self):
        with self.assertRaises(ConnectorError) as raised:
            Schema.of(Field("a", "text")).to_bytes()
        self.assertEqual(raised.exception.category, "schema")
