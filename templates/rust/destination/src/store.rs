//! Files and the receipt that says which of them count. CHANGE all of it for another kind of destination; keep that data and
//! receipt become durable together.
//!
//! ```text
//! <path>/<stream>/part-<partition>-<checkpoint>.jsonl     committed rows
//! <path>/_receipts/<pipeline>/<stream>-<partition>.json   the last commit: written last, by a rename
//! <path>/_receipts/<pipeline>/<stream>-<partition>.tmp    rows of the next commit
//! ```
//!
//! The receipt names the file its rows are to have. If the process dies before they have that name, the next run gives it to
//! them; if it dies before the receipt is in place, the rows are written again. Either way each row is there once.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rapidbyte_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// The last commit, as it stands on disk.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    id: u64,
    columns: Vec<Column>,
    /// Field, type and value.
    cursor: Option<(String, String, String)>,
    complete: bool,
    /// The name the pending rows are to have, if the commit has rows.
    publish: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Column {
    name: String,
    kind: String,
    nullable: bool,
}

/// The files of one (pipeline, stream, partition).
pub struct Store {
    columns: Vec<Column>,
    nullability: NullabilityChangePolicy,
    folder: PathBuf,
    prefix: String,
    receipt: PathBuf,
    pending: PathBuf,
    has_rows: bool,
}

impl Store {
    pub fn open(path: &str, stream: &StreamContext) -> Result<Self, ConnectorError> {
        let folder = Path::new(path).join(encode(&stream.name));
        let receipts = Path::new(path)
            .join("_receipts")
            .join(encode(&stream.pipeline));
        for folder in [&folder, &receipts] {
            fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        }
        let task = format!("{}-{}", encode(&stream.name), stream.partition.index);
        let columns = stream.schema.fields().iter().map(|field| Column {
            name: field.name().clone(),
            kind: field.data_type().to_string(),
            nullable: field.is_nullable(),
        });
        Ok(Store {
            columns: columns.collect(),
            nullability: stream.policies.nullability_change,
            folder,
            prefix: format!("part-{}", stream.partition.index),
            receipt: receipts.join(format!("{task}.json")),
            pending: receipts.join(format!("{task}.tmp")),
            has_rows: false,
        })
    }

    /// Carries out what is committed, drops what is not, and answers the last commit.
    pub fn recover(&mut self) -> Result<Option<Receipt>, ConnectorError> {
        let bytes = match fs::read(&self.receipt) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.drop_pending()?;
                return Ok(None);
            }
            Err(error) => return Err(failed(&self.receipt, &error)),
        };
        let bad = || {
            let message = format!(
                "receipt `{}` was not written by this connector",
                self.receipt.display()
            );
            ConnectorError::internal("bad_receipt", message)
        };
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|_| bad())?;
        let cursor = match &stored.cursor {
            None => None,
            Some((field, kind, value)) => Some(Cursor::new(
                field,
                CursorValue::from_parts(kind, value).ok_or_else(bad)?,
            )),
        };
        if let Some(name) = &stored.publish
            && !self.folder.join(name).exists()
        {
            self.publish(name)?;
        }
        self.drop_pending()?;
        self.compare(&stored.columns)?;
        Ok(Some(Receipt {
            id: stored.id,
            cursor,
            complete: stored.complete,
        }))
    }

    /// Holds the stream's columns against those of the last commit: all files of a stream have the same. CHANGE: a database
    /// can alter its table, by the pipeline's policies.
    fn compare(&self, written: &[Column]) -> Result<(), ConnectorError> {
        let refuse = |name: &str, what: &str| {
            let message =
                format!("column `{name}` {what}: write to another folder, or drop this one");
            Err(ConnectorError::schema("schema_changed", message))
        };
        let named = |columns: &[Column], name: &str| columns.iter().any(|it| it.name == name);
        for new in &self.columns {
            let Some(old) = written.iter().find(|old| old.name == new.name) else {
                return refuse(&new.name, "is new");
            };
            if old.kind != new.kind {
                let what = format!("was `{}` and is `{}`", old.kind, new.kind);
                return refuse(&new.name, &what);
            }
            let relaxed = new.nullable && !old.nullable;
            if relaxed && self.nullability != NullabilityChangePolicy::Allow {
                return refuse(&new.name, "may be NULL now");
            }
        }
        match written.iter().find(|old| !named(&self.columns, &old.name)) {
            Some(gone) => refuse(&gone.name, "is gone"),
            None => Ok(()),
        }
    }

    fn drop_pending(&self) -> Result<(), ConnectorError> {
        match fs::remove_file(&self.pending) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed(&self.pending, &error))
            }
            _ => Ok(()),
        }
    }

    /// Where the rows of the next commit go.
    pub fn begin(&self) -> Result<BufWriter<File>, ConnectorError> {
        Ok(BufWriter::new(
            File::create(&self.pending).map_err(|error| failed(&self.pending, &error))?,
        ))
    }

    /// Makes them durable, still unseen.
    pub fn finish(&mut self, rows: BufWriter<File>) -> Result<(), ConnectorError> {
        let file = rows
            .into_inner()
            .map_err(|error| failed(&self.pending, error.error()))?;
        file.sync_all()
            .map_err(|error| failed(&self.pending, &error))?;
        self.has_rows = true;
        Ok(())
    }

    /// Commits the rows together with their checkpoint: the moment is the rename of the receipt.
    pub fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), ConnectorError> {
        let publish = self
            .has_rows
            .then(|| format!("{}-{:020}.jsonl", self.prefix, checkpoint.id));
        if let Some(name) = &publish
            && self.folder.join(name).exists()
        {
            let message = format!(
                "`{}` exists and no receipt knows it",
                self.folder.join(name).display()
            );
            return Err(ConnectorError::config("path", message).with_code("file_exists"));
        }
        let cursor = checkpoint.cursor.as_ref().map(|cursor| {
            (
                cursor.field.clone(),
                cursor.value.type_name().to_owned(),
                cursor.value.value_text(),
            )
        });
        let stored = Stored {
            id: checkpoint.id,
            columns: self.columns.clone(),
            cursor,
            complete: checkpoint.complete,
            publish,
        };
        let bytes = serde_json::to_vec(&stored)
            .map_err(|error| ConnectorError::internal("bad_receipt", error.to_string()))?;
        let temporary = self.receipt.with_extension("json.tmp");
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &self.receipt)?;
            sync_folder(&self.receipt)
        };
        write().map_err(|error| failed(&self.receipt, &error))?;
        self.has_rows = false;
        match &stored.publish {
            Some(name) => self
                .publish(name)
                .map_err(|error| error.with_commit_state(CommitState::AfterCommitConfirmed)),
            None => Ok(()),
        }
    }

    fn publish(&self, name: &str) -> Result<(), ConnectorError> {
        let path = self.folder.join(name);
        fs::rename(&self.pending, &path)
            .and_then(|()| sync_folder(&path))
            .map_err(|error| failed(&path, &error))
    }
}

/// Makes the names beside a file durable, where the file system needs that said.
fn sync_folder(file: &Path) -> io::Result<()> {
    match file
        .parent()
        .map(|folder| File::open(folder).and_then(|folder| folder.sync_all()))
    {
        Some(Err(error))
            if !matches!(
                error.kind(),
                io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// Tries whether a file can be made and removed.
pub fn probe(path: &str) -> Result<(), ConnectorError> {
    let file = Path::new(path).join(".rapidbyte-probe");
    File::create(&file)
        .and_then(|_| fs::remove_file(&file))
        .map_err(|error| failed(&file, &error))
}

/// A stream's name as the name of a file: never a path, and no two names the same.
fn encode(name: &str) -> String {
    let mut out = String::new();
    for (index, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => out.push(char::from(byte)),
            b'_' | b'.' if index > 0 => out.push(char::from(byte)),
            _ => drop(write!(out, "%{byte:02x}")),
        }
    }
    out
}

fn failed(path: &Path, error: &io::Error) -> ConnectorError {
    let message = format!("`{}`: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => ConnectorError::permission("permission_denied", message),
        io::ErrorKind::NotFound => ConnectorError::config("path", message),
        _ => ConnectorError::internal("io", message),
    }
}
