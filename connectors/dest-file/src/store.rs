//! The commit. Data is written under a temporary name and made durable; then the receipt that names it is put in place,
//! which is the moment of commitment; then the data gets its name. A receipt whose data has no name yet is carried out at the
//! next start, a temporary file without receipt is removed. So a row is there once, whenever the process died.
//!
//! ```text
//! <folder>/<stream>.parquet                                       replace
//! <folder>/<stream>/part-<partition>-<checkpoint>.parquet         append
//! <folder>/_rapidbyte/receipts/<pipeline>/<stream>-<partition>.json
//! <folder>/_rapidbyte/staging/<pipeline>/<stream>-<partition>/.tmp-…
//! <folder>/_rapidbyte/names/<name>.json                           whose file or folder that is
//! ```

use arrow_schema::Schema;
use rapidbyte_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::columns::{self, StoredColumn};
use crate::config::{Config, Format};
use crate::disk::{Disk, split};
use crate::limits;
use crate::names::encode;
use crate::receipt::{Publication, StoredReceipt};

const OWN_FOLDER: &str = "_rapidbyte";

/// The files of one (pipeline, stream, partition).
pub struct Store {
    disk: Disk,
    format: Format,
    mode: WriteMode,
    stream: StreamContext,
    /// The stream's file or folder.
    entry: String,
    receipt_path: String,
    staging: String,
    receipt: Option<StoredReceipt>,
}

/// Whose file or folder a name is. Names are compared without case, because some file systems do.
#[derive(Serialize, Deserialize)]
struct Claim {
    name: String,
    stream: String,
    /// Of the files that were appended, which a reader takes for one table. None: there are none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<StoredColumn>>,
}

impl Store {
    /// Where a stream's files will be. Looks at nothing and changes nothing.
    pub fn new(config: &Config, stream: &StreamContext) -> Result<Self, ConnectorError> {
        let disk = Disk::open(&config.path)?;
        let plan = stream.write_plan()?;
        let name = encode(&stream.name);
        let entry = match plan.mode {
            WriteMode::Append => name.clone(),
            WriteMode::Replace => format!("{name}.{}", config.format.extension()),
            WriteMode::Upsert | WriteMode::Merge => {
                return Err(ConnectorError::config(
                    "write_mode",
                    format!("files have no keys, so they cannot `{}`: use append or replace", plan.mode),
                ));
            }
        };
        if plan.mode == WriteMode::Replace && !stream.partition.is_whole() {
            return Err(ConnectorError::config(
                "write_mode",
                "one file cannot be replaced by several partitions",
            ));
        }
        if plan.mode == WriteMode::Replace && stream.sync_mode != SyncMode::FullRefresh {
            let message = format!(
                "replacing by what is new would lose what was there: use append with {}",
                stream.sync_mode
            );
            return Err(ConnectorError::config("write_mode", message));
        }
        let task = format!("{}/{name}-{}", encode(&stream.pipeline), stream.partition.index);
        Ok(Store {
            disk,
            format: config.format,
            mode: plan.mode,
            stream: stream.clone(),
            entry,
            receipt_path: format!("{OWN_FOLDER}/receipts/{task}.json"),
            staging: format!("{OWN_FOLDER}/staging/{task}"),
            receipt: None,
        })
    }

    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    pub fn mode(&self) -> WriteMode {
        self.mode
    }

    fn claim(&self) -> Result<Option<Claim>, ConnectorError> {
        let path = self.claim_path();
        let Some(bytes) = self.disk.read(&path, limits::CLAIM_BYTES_MAX)? else { return Ok(None) };
        let claim = serde_json::from_slice(&bytes);
        let damaged = |error| ConnectorError::internal("bad_claim", format!("`{path}` is damaged: {error}"));
        claim.map(Some).map_err(damaged)
    }

    fn write_claim(&self, columns: Option<Vec<StoredColumn>>) -> Result<(), ConnectorError> {
        let claim = Claim { name: self.entry.clone(), stream: self.stream.name.clone(), columns };
        let bytes = serde_json::to_vec(&claim)
            .map_err(|error| ConnectorError::internal("bad_claim", error.to_string()))?;
        self.disk.write_atomically(&self.claim_path(), &bytes)
    }

    /// Refuses columns that are not those of the files to append to, where the policies do not let them differ.
    pub fn check_columns(&self, schema: &Schema) -> Result<(), ConnectorError> {
        if self.mode != WriteMode::Append {
            return Ok(());
        }
        match self.claim()?.and_then(|claim| claim.columns) {
            Some(columns) => columns::check(&columns, schema, &self.stream, &self.claim_path()),
            None => Ok(()),
        }
    }

    /// Refuses a name that is another stream's.
    pub fn check_name(&self) -> Result<(), ConnectorError> {
        let path = self.claim_path();
        let Some(claim) = self.claim()? else { return Ok(()) };
        if claim.stream == self.stream.name {
            return Ok(());
        }
        Err(ConnectorError::config(
            "path",
            format!(
                "streams `{}` and `{}` would both be written to `{}`; write one of them to another folder, or remove `{path}` \
                 if `{}` is gone",
                claim.stream, self.stream.name, claim.name, claim.stream
            ),
        )
        .with_code("name_taken"))
    }

    fn claim_path(&self) -> String {
        format!("{OWN_FOLDER}/names/{}.json", self.entry.to_ascii_lowercase())
    }

    /// Prepares for writing: finishes or removes what an earlier run left, and answers the receipt.
    pub fn recover(&mut self) -> Result<Option<Receipt>, ConnectorError> {
        self.check_name()?;
        for folder in [split(&self.receipt_path).0, &self.staging, &format!("{OWN_FOLDER}/names")] {
            self.disk.create_folder(folder)?;
        }
        let claim = self.claim_path();
        if !self.disk.exists(&claim)? {
            self.write_claim(None)?;
            // Two streams may have claimed it at once: the last one has it.
            self.check_name()?;
        }
        if let Some(bytes) = self.disk.read(&self.receipt_path, limits::RECEIPT_BYTES_MAX)? {
            let receipt = StoredReceipt::from_bytes(&bytes, &self.receipt_path, &self.stream)?;
            if let Some(publication) = &receipt.publish {
                self.publish(publication)?;
            }
            self.receipt = Some(receipt);
        }
        for name in self.disk.list(&self.staging)? {
            self.disk.remove_file(&format!("{}/{name}", self.staging))?;
        }
        Ok(self.receipt.as_ref().and_then(StoredReceipt::receipt))
    }

    /// Where the data of the next commit is written. Never the name that the present receipt knows: it would be published.
    pub fn temporary(&self) -> String {
        let last = self.receipt.as_ref().map_or(0, |receipt| receipt.id);
        format!("{}/.tmp-{last:020}.{}", self.staging, self.format.extension())
    }

    /// Commits the data of a durable temporary file, if there is any, together with its checkpoint.
    pub fn commit(
        &mut self,
        temporary: Option<String>,
        checkpoint: &Checkpoint,
        schema: &Schema,
    ) -> Result<(), ConnectorError> {
        if self.mode == WriteMode::Append && temporary.is_some() {
            let known = self.claim()?.and_then(|claim| claim.columns);
            if known.is_none_or(|known| columns::widened(&known, schema)) {
                self.write_claim(Some(columns::of(schema)))?;
            }
        }
        let publish = match temporary {
            Some(from) => {
                // The name of the file must be durable before the receipt that counts on it.
                self.disk.sync_folder(&self.staging)?;
                Some(Publication { from, to: self.target(checkpoint.id)? })
            }
            None => None,
        };
        let receipt = StoredReceipt::new(&self.stream, checkpoint, publish);
        self.disk.write_atomically(&self.receipt_path, &receipt.to_bytes()?)?;
        if let Some(publication) = &receipt.publish {
            self.publish(publication)
                .map_err(|error| error.with_commit_state(CommitState::AfterCommitConfirmed))?;
        }
        self.receipt = Some(receipt);
        Ok(())
    }

    /// Gives committed data its name. Doing it again does nothing.
    fn publish(&self, publication: &Publication) -> Result<(), ConnectorError> {
        if !self.disk.exists(&publication.from)? {
            return Ok(());
        }
        let (folder, _) = split(&publication.to);
        if !folder.is_empty() {
            self.disk.create_folder(folder)?;
        }
        self.disk.rename(&publication.from, &publication.to)?;
        self.disk.sync_folder(folder)?;
        self.disk.sync_folder(&self.staging)
    }

    /// The name of a commit's data.
    fn target(&self, id: u64) -> Result<String, ConnectorError> {
        if self.mode == WriteMode::Replace {
            return Ok(self.entry.clone());
        }
        // Another pipeline may append to the same stream, and a reset without receipts counts from the beginning.
        let stem = format!("{}/part-{}-{id:020}", self.entry, self.stream.partition.index);
        let extension = self.format.extension();
        for number in 1..=limits::SAME_NAME_MAX {
            let path = if number == 1 {
                format!("{stem}.{extension}")
            } else {
                format!("{stem}-{number}.{extension}")
            };
            if !self.disk.exists(&path)? {
                return Ok(path);
            }
        }
        Err(ConnectorError::internal(
            "no_free_name",
            format!("every name like `{stem}.{extension}` is taken"),
        ))
    }
}
