import json
import tempfile
import unittest
from pathlib import Path

from connector import Connector
from rapidbyte import Checkpoint, ConnectorError, Field, Schema
from rapidbyte.testing import TestHost

SCHEMA = Schema.of(Field("id", "int64", nullable=False), Field("name", "utf8"))


def checkpoint(number, complete=False):
    return Checkpoint(number, {"field": "id", "kind": "int64", "value": number}, complete=complete)


def rows(*ids):
    return [{"id": id, "name": f"name {id}\u2028"} for id in ids]


class DestinationTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.host = TestHost()

    def write(self, *events, name="orders", **stream):
        connector = self.host.open(Connector, {"path": str(self.folder)})
        return self.host.write(connector, name, SCHEMA, events, **stream)

    def written(self, name="orders"):
        files = sorted((self.folder / name).glob("part-*.jsonl"))
        lines = [line for file in files for line in file.read_text("utf-8").split("\n") if line]
        return [json.loads(line)["id"] for line in lines]

    def test_rows_are_there_with_their_checkpoint_and_not_before(self):
        confirmed = self.write(rows(1, 2), checkpoint(1), rows(3), rows(4), checkpoint(2), rows(5))
        self.assertEqual([it.id for it in confirmed], [1, 2])
        self.assertEqual(self.written(), [1, 2, 3, 4], "no checkpoint covers the last row")

    def test_the_next_run_is_told_what_is_committed(self):
        self.write(rows(1), checkpoint(7))
        self.assertEqual(self.host.receipts, [])
        self.write(rows(2), checkpoint(8, complete=True))
        (receipt,) = self.host.receipts
        self.assertEqual((receipt.id, receipt.cursor, receipt.complete), (7, checkpoint(7).cursor, False))
        self.assertEqual(self.written(), [1, 2])
        # A checkpoint without rows is a commit, too.
        self.write(checkpoint(9))
        self.write()
        self.assertEqual(self.host.receipts[0].id, 9)

    def test_a_commit_that_was_cut_off_is_finished(self):
        self.write(rows(1), checkpoint(1))
        published = next((self.folder / "orders").glob("*.jsonl"))
        # The receipt was in place, the rows had not got their name.
        published.rename(self.folder / "_receipts/test/orders-0.tmp")
        self.write()
        self.assertEqual(self.written(), [1])

    def test_what_is_wrong_has_its_error(self):
        connector = self.host.open(Connector, {"path": str(self.folder)})
        self.assertIn("can be written", self.host.validate(connector))
        with self.assertRaises(ConnectorError) as raised:
            self.write(write_mode="upsert")
        self.assertEqual((raised.exception.category, raised.exception.details), ("config", {"field": "write_mode"}))
        missing = self.host.open(Connector, {"path": str(self.folder / "a/b")})
        with self.assertRaises(ConnectorError) as raised:
            self.host.validate(missing)
        self.assertEqual(raised.exception.category, "config")
        receipt = self.folder / "_receipts/test/orders-0.json"
        receipt.parent.mkdir(parents=True, exist_ok=True)
        receipt.write_text("{}")
        with self.assertRaises(ConnectorError) as raised:
            self.write(rows(1))
        self.assertEqual(raised.exception.code, "bad_receipt")

    def test_columns_that_changed_are_refused_by_name(self):
        self.write(rows(1), checkpoint(1))
        connector = self.host.open(Connector, {"path": str(self.folder)})
        identity, name = SCHEMA.fields
        for fields, what in [
            ((identity, name, Field("extra", "utf8")), "`extra` is new"),
            ((identity,), "`name` is gone"),
            ((identity, Field("name", "int64")), "`name` was `utf8` and is `int64`"),
        ]:
            with self.assertRaises(ConnectorError) as raised:
                self.host.write(connector, "orders", Schema.of(*fields), [])
            self.assertEqual(raised.exception.category, "schema")
            self.assertIn(what, raised.exception.message)
        relaxed = Schema.of(Field("id", "int64"), name)
        with self.assertRaises(ConnectorError):
            self.host.write(connector, "orders", relaxed, [], policies={"nullability_change": "fail"})
        self.host.write(connector, "orders", relaxed, [], policies={"nullability_change": "allow"})

    def test_odd_names_stay_inside(self):
        self.write(rows(1), checkpoint(1), name="../a/B")
        self.assertEqual(self.written("%2e.%2fa%2f%42"), [1])
