import json
import tempfile
import unittest
from pathlib import Path

from connector import Connector
from fixtures import server
from rapidbyte import ConnectorError
from rapidbyte.testing import TestHost


class SourceTest(unittest.TestCase):
    def setUp(self):
        self.server, self.url = server.start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.host = TestHost()

    def read(self, config=None, **stream):
        connector = self.host.open(Connector, {"url": self.url, **(config or {})})
        return self.host.read(connector, "issues", **stream)

    def refused(self, call, *arguments, **named):
        with self.assertRaises(ConnectorError) as raised:
            call(*arguments, **named)
        return raised.exception

    def test_discovers(self):
        connector = self.host.open(Connector, {"url": self.url})
        (stream,) = self.host.discover(connector)
        self.assertEqual((stream.name, stream.primary_key), ("issues", ["id"]))

    def test_reads_every_page(self):
        rows, checkpoints = self.read({"page_size": 3})
        self.assertEqual([row["id"] for row in rows], list(range(101, 108)))
        self.assertEqual(rows[3]["title"], "Umlauts in names: Jürgen")
        self.assertEqual(checkpoints, [], "a full refresh has no order to continue in")

    def test_every_checkpoint_is_a_place_to_continue(self):
        host = TestHost(limits={"checkpoint_interval_rows": 2})
        connector = host.open(Connector, {"url": self.url, "page_size": 2})
        incremental = {"sync_mode": "incremental", "cursor_field": "seq"}
        rows, checkpoints = host.read(connector, "issues", **incremental)
        self.assertEqual(len(checkpoints), 4)
        for checkpoint in checkpoints:
            after = checkpoint.cursor["value"]
            rest, _ = host.read(connector, "issues", position=after, **incremental)
            self.assertEqual(rest, [row for row in rows if row["seq"] > after])

    def test_stops_when_enough_or_asked_to(self):
        self.assertEqual(len(self.read({"page_size": 2}, max_records=3)[0]), 3)
        self.host.stop_after_checkpoints = 0
        self.assertEqual(self.read()[0], [])

    def test_the_token_is_shown(self):
        guarded, url = server.start(token="sesame")
        self.addCleanup(guarded.server_close)
        self.addCleanup(guarded.shutdown)
        connector = self.host.open(Connector, {"url": url, "token": "sesame"})
        self.assertIn("answers", self.host.validate(connector))
        error = self.refused(self.host.validate, self.host.open(Connector, {"url": url}))
        self.assertEqual((error.category, error.code), ("auth", "http_unauthorized"))

    def test_what_is_wrong_has_its_error(self):
        for config, key in [({}, "url"), ({"url": 1}, "url"), ({"url": "x"}, "url"), ({"url": "http://a", "x": 1}, "x")]:
            error = self.refused(self.host.open, Connector, config)
            self.assertEqual((error.category, error.details), ("config", {"field": key}))
        connector = self.host.open(Connector, {"url": self.url})
        self.assertEqual(self.refused(self.host.read, connector, "users").code, "unknown_stream")
        self.server.shutdown()
        self.server.server_close()
        self.assertEqual(self.refused(self.host.validate, connector).code, "connection_refused")

    def test_an_api_out_of_order_is_noticed(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "issues.json"
            issue = {"id": 1, "title": "a", "state": "open", "points": None, "seq": 1}
            file.write_text(json.dumps([issue, issue]), "utf-8")
            other, url = server.start(file=file)
            self.addCleanup(other.server_close)
            self.addCleanup(other.shutdown)
            connector = self.host.open(Connector, {"url": url})
            self.assertEqual(self.refused(self.host.read, connector, "issues").code, "api_order")
