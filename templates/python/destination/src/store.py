"""Files and the receipt that says which of them count. CHANGE all of it for another kind of destination; keep that data and
receipt become durable together.

    <path>/<stream>/part-<partition>-<checkpoint>.jsonl     committed rows
    <path>/_receipts/<pipeline>/<stream>-<partition>.json   the last commit: written last, by a rename
    <path>/_receipts/<pipeline>/<stream>-<partition>.tmp    rows of the next commit

The receipt names the file its rows are to have. If the process dies before they have that name, the next run gives it to
them; if it dies before the receipt is in place, the rows are written again. Either way each row is there once.
"""

import json
import os
from pathlib import Path

from rapidbyte import Checkpoint, ConnectorError, config_error, internal_error, permission_error, schema_error


class Store:
    """The files of one (pipeline, stream, partition)."""

    def __init__(self, path, stream):
        self.folder = Path(path, _encode(stream.name))
        receipts = Path(path, "_receipts", _encode(stream.pipeline))
        task = f"{_encode(stream.name)}-{stream.partition[0]}"
        self.prefix = f"part-{stream.partition[0]}"
        self.receipt, self.pending = receipts / f"{task}.json", receipts / f"{task}.tmp"
        self.rows = None
        self.columns = [_described(column) for column in stream.schema.fields]
        self.may_relax = stream.policies.get("nullability_change") != "fail"
        with _Failing(path):
            for folder in (self.folder, receipts):
                folder.mkdir(parents=True, exist_ok=True)

    def recover(self):
        """Carries out what is committed, drops what is not, and answers the last commit."""
        with _Failing(self.receipt):
            if not self.receipt.exists():
                self.pending.unlink(missing_ok=True)
                return None
            try:
                stored = json.loads(self.receipt.read_text("utf-8"))
                checkpoint, publish = Checkpoint.from_json(stored), stored["publish"]
                columns = {column["name"]: column for column in stored["columns"]}
            except (ValueError, KeyError, TypeError):
                raise internal_error("bad_receipt", f"receipt `{self.receipt}` was not written by this connector") from None
            if publish and not (self.folder / publish).exists():
                self._publish(publish)
            self.pending.unlink(missing_ok=True)
            self._compare(columns)
            return checkpoint

    def _compare(self, written):
        """All files of a stream have the same columns. CHANGE: a database can alter its table, by `stream.policies`."""

        def refuse(name, what):
            message = f"column `{name}` {what}: write to another folder, or drop this one"
            raise schema_error("schema_changed", message)

        for new in self.columns:
            name, old = new["name"], written.pop(new["name"], None)
            if old is None:
                refuse(name, "is new")
            if old["type"] != new["type"]:
                refuse(name, f"was `{old['type']}` and is `{new['type']}`")
            if new["nullable"] and not old["nullable"] and not self.may_relax:
                refuse(name, "may be null now")
        for name in written:
            refuse(name, "is gone")

    def add(self, text):
        """Takes rows for the next commit."""
        with _Failing(self.pending):
            if self.rows is None:
                self.rows = open(self.pending, "w", encoding="utf-8", newline="\n")
            self.rows.write(text)

    def commit(self, checkpoint):
        """Commits the rows together with their checkpoint: the moment is the rename of the receipt."""
        publish = None
        with _Failing(self.receipt):
            if self.rows is not None:
                _close_durably(self.rows)
                self.rows = None
                publish = f"{self.prefix}-{checkpoint.id:020}.jsonl"
                if (self.folder / publish).exists():
                    raise config_error("path", f"has `{self.folder / publish}`, which no receipt knows", code="file_exists")
            temporary = self.receipt.with_suffix(".json.tmp")
            file = open(temporary, "w", encoding="utf-8")
            json.dump({**checkpoint.to_json(), "columns": self.columns, "publish": publish}, file)
            _close_durably(file)
            os.replace(temporary, self.receipt)
            _sync_folder(self.receipt.parent)
        if publish:
            with _Failing(self.pending, commit="after_commit_confirmed"):
                self._publish(publish)

    def _publish(self, name):
        os.replace(self.pending, self.folder / name)
        _sync_folder(self.folder)


def _described(column):
    """A column for the receipt, its type with those of its children."""
    inner = [_described(child) for child in column.children]
    types = ", ".join(f"{child['name']}: {child['type']}" for child in inner)
    return {"name": column.name, "type": f"{column.type}<{types}>" if inner else column.type, "nullable": column.nullable}


def _close_durably(file):
    file.flush()
    os.fsync(file.fileno())
    file.close()


def _sync_folder(folder):
    """Makes the names in a folder durable, where the file system needs that said."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def probe(path):
    """Tries whether a file can be made and removed."""
    file = Path(path, ".rapidbyte-probe")
    with _Failing(file):
        file.write_text("")
        file.unlink()


def _encode(name):
    """A stream's name as the name of a file: never a path, and no two names the same."""
    plain = "abcdefghijklmnopqrstuvwxyz0123456789-"
    keeps = lambda index, byte: chr(byte) in plain or (index > 0 and chr(byte) in "_.")
    return "".join(chr(byte) if keeps(index, byte) else f"%{byte:02x}" for index, byte in enumerate(name.encode()))


class _Failing:
    """Raises what the system says about a file as the error it stands for."""

    def __init__(self, path, commit=None):
        self.path, self.commit = path, commit

    def __enter__(self):
        return self

    def __exit__(self, _kind, error, _trace):
        if not isinstance(error, OSError):
            return
        message = f"`{self.path}`: {error.strerror or error}"
        if isinstance(error, PermissionError):
            raised = permission_error("permission_denied", message)
        elif isinstance(error, FileNotFoundError):
            raised = config_error("path", f"cannot be used: {message}")
        else:
            raised = ConnectorError("internal", "io", message)
        raised.commit = self.commit
        raise raised from None
