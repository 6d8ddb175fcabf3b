import unittest

from connector import Connector
from rapidbyte import Checkpoint, ConnectorError, Field, Schema, Stream
from rapidbyte.testing import TestHost

SCHEMA = Schema.of(
    Field("id", "int64", nullable=False), Field("email", "utf8"), Field("amount", "decimal128(38, 2)"), Field("x", "float64")
)


class TransformTest(unittest.TestCase):
    def setUp(self):
        self.host = TestHost()

    def open(self, **config):
        return self.host.open(Connector, {"columns": ["email"], **config})

    def test_changes_its_column_and_nothing_else(self):
        row = {"id": 2**60, "email": " Ada@Example.COM ", "amount": None, "x": 0.1}
        for case, email in [("lower", "ada@example.com"), ("upper", "ADA@EXAMPLE.COM"), ("keep", "Ada@Example.COM")]:
            out = self.host.transform(self.open(case=case), "customers", SCHEMA, [[row]])
            self.assertEqual(out, [[{**row, "email": email}]])

    def test_what_is_null_stays_null(self):
        row = {"id": 1, "email": None, "amount": None, "x": None}
        self.assertEqual(self.host.transform(self.open(), "customers", SCHEMA, [[row]]), [[row]])

    def test_checkpoints_come_behind_what_they_cover(self):
        row = {"id": 1, "email": "a", "amount": None, "x": None}
        events = [[row], Checkpoint(1), [row], [row], Checkpoint(2)]
        self.assertEqual(self.host.transform(self.open(), "customers", SCHEMA, events), events)
        self.assertEqual((self.host.summary["records_in"], self.host.summary["records_out"]), (3, 3))

    def test_says_what_flows_out(self):
        (stream,) = self.host.discover(self.open(), Stream("customers", SCHEMA))
        self.assertEqual(stream.schema, SCHEMA)

    def test_what_is_wrong_has_its_error(self):
        for config, key in [({"columns": []}, "columns"), ({"case": "wrong"}, "case"), ({"columns": [1]}, "columns[0]")]:
            with self.assertRaises(ConnectorError) as raised:
                self.open(**config)
            self.assertEqual((raised.exception.category, raised.exception.details), ("config", {"field": key}))
        for columns in (["nothing"], ["id"]):
            with self.assertRaises(ConnectorError) as raised:
                self.host.transform(self.open(columns=columns), "customers", SCHEMA, [])
            self.assertEqual(raised.exception.category, "config")
