//! `rapidbyte state`: what is remembered of a document's pipeline between runs, and the store that remembers it.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rapidbyte_core::ports::{RunFilter, RunRecord, SavedPosition, StateError, TaskKey};
use rapidbyte_pipeline::spec::StateBackend;
use rapidbyte_state::transfer::{self, Existing, Totals, TransferError};
use rapidbyte_state::{PostgresStore, SqliteStore, Store};
use serde::Serialize;

use super::document::Document;
use crate::error::HostError;
use crate::settings::Host;

/// What state holds of one pipeline.
#[derive(Debug, Clone, Serialize)]
pub struct StateReport {
    pub pipeline: String,
    /// The file or server, without secrets.
    pub location: String,
    /// False: there is no state yet, and none was made by looking.
    pub exists: bool,
    pub positions: Vec<SavedPosition>,
    /// The newest first.
    pub runs: Vec<RunRecord>,
}

/// Which runs of the state that a document names.
#[derive(Debug, Clone, Default)]
pub struct HistoryOptions {
    /// None: the document's own pipeline.
    pub pipeline: Option<String>,
    /// Every pipeline that the state knows.
    pub all: bool,
    pub filter: RunFilter,
    pub limit: u32,
}

/// Where a state is migrated to.
#[derive(Clone)]
pub enum StateTarget {
    /// A SQLite file.
    File(PathBuf),
    /// A connection string of PostgreSQL.
    Server(String),
}

/// What was moved out of or into a state.
#[derive(Debug, Clone, Serialize)]
pub struct Moved {
    /// The state's file or server, without secrets.
    pub location: String,
    pub totals: Totals,
}

/// What was moved between two states.
#[derive(Debug, Clone, Serialize)]
pub struct Migration {
    pub from: String,
    pub to: String,
    pub moved: Totals,
}

impl Host {
    /// Opens the state that the document keeps, making it where there is none.
    pub async fn open_state(&self, document: &Document) -> Result<Arc<dyn Store>, HostError> {
        let spec = &document.pipeline.state;
        match (&spec.backend.value, &spec.connection) {
            (StateBackend::Sqlite, _) => Ok(Arc::new(SqliteStore::open(&self.state_path(document))?)),
            (StateBackend::Postgres, Some(connection)) => self.open_server(connection.expose()).await,
            // The checked document has one; its rule is the pipeline's.
            (StateBackend::Postgres, None) => Err(HostError::State(StateError::Unavailable {
                location: "postgres".to_owned(),
                message: "`state.connection` is missing".to_owned(),
            })),
        }
    }

    async fn open_server(&self, connection: &str) -> Result<Arc<dyn Store>, HostError> {
        self.hide_connection(connection);
        Ok(Arc::new(PostgresStore::open(connection).await?))
    }

    /// Keeps a connection string and the password in it out of everything that is said.
    pub(super) fn hide_connection(&self, connection: &str) {
        self.settings.redactor.register(connection);
        if let Some(password) = rapidbyte_state::postgres::password_of(connection) {
            self.settings.redactor.register(&password);
        }
    }

    /// Where the document's state lies, where that is a file.
    pub fn state_path(&self, document: &Document) -> PathBuf {
        match &document.pipeline.state.path {
            Some(path) => document.folder().join(&path.value),
            None => self.default_state_path(&document.path),
        }
    }

    /// The state of a document to be looked at. None: there is none yet, and none is made by looking.
    pub(super) async fn look_at_state(
        &self,
        document: &Document,
    ) -> Result<Option<Arc<dyn Store>>, HostError> {
        let file = document.pipeline.state.backend.value == StateBackend::Sqlite;
        if file && !self.state_path(document).exists() {
            return Ok(None);
        }
        self.open_state(document).await.map(Some)
    }

    /// Shows the saved positions and the last runs.
    pub async fn show_state(&self, document: &Document, runs: u32) -> Result<StateReport, HostError> {
        let pipeline = document.pipeline.name.value.clone();
        let Some(state) = self.look_at_state(document).await? else {
            return Ok(StateReport {
                pipeline,
                location: self.state_path(document).display().to_string(),
                exists: false,
                positions: Vec::new(),
                runs: Vec::new(),
            });
        };
        let positions = state.positions(Some(&pipeline)).await?;
        let runs = state.runs(Some(&pipeline), runs).await?;
        Ok(StateReport { pipeline, location: state.location(), exists: true, positions, runs })
    }

    /// The history of runs, the newest first.
    pub async fn run_history(
        &self,
        document: &Document,
        options: &HistoryOptions,
    ) -> Result<Vec<RunRecord>, HostError> {
        let Some(state) = self.look_at_state(document).await? else { return Ok(Vec::new()) };
        let own = || document.pipeline.name.value.clone();
        let pipeline = if options.all { None } else { Some(options.pipeline.clone().unwrap_or_else(own)) };
        let filter = RunFilter { pipeline, ..options.filter.clone() };
        Ok(state.history(&filter, options.limit).await?)
    }

    /// Forgets the positions of one stream, or of all; answers what was forgotten. Refused while the stream runs.
    pub async fn reset_state(
        &self,
        document: &Document,
        stream: Option<&str>,
    ) -> Result<Vec<TaskKey>, HostError> {
        if let Some(stream) = stream {
            document.require_stream(stream)?;
        }
        let state = self.open_state(document).await?;
        Ok(state.reset(&document.pipeline.name.value, stream).await?)
    }

    /// Writes the whole state that the document keeps, of all its pipelines, as a document of its own.
    pub async fn export_state(
        &self,
        document: &Document,
        out: impl Write + Send + 'static,
    ) -> Result<Moved, HostError> {
        let state = self.open_state(document).await?;
        let totals = transfer::export(&*state, out).await?;
        Ok(Moved { location: state.location(), totals })
    }

    /// Reads an exported state into the one that the document keeps.
    pub async fn import_state(
        &self,
        document: &Document,
        existing: Existing,
        exported: impl BufRead + Send + 'static,
    ) -> Result<Moved, HostError> {
        let state = self.open_state(document).await?;
        let totals = transfer::import(&*state, existing, exported).await?;
        Ok(Moved { location: state.location(), totals })
    }

    /// Copies the whole state that the document keeps, of all its pipelines, to another place.
    pub async fn migrate_state(
        &self,
        document: &Document,
        target: &StateTarget,
        existing: Existing,
    ) -> Result<Migration, HostError> {
        if let StateTarget::File(path) = target
            && document.pipeline.state.backend.value == StateBackend::Sqlite
            && is_same_file(path, &self.state_path(document))
        {
            return Err(TransferError::Same { location: path.display().to_string() }.into());
        }
        let from = self.open_state(document).await?;
        let to: Arc<dyn Store> = match target {
            StateTarget::File(path) => Arc::new(SqliteStore::open(path)?),
            StateTarget::Server(connection) => self.open_server(connection).await?,
        };
        let moved = transfer::migrate(&*from, &*to, existing).await?;
        Ok(Migration { from: from.location(), to: to.location(), moved })
    }
}

/// However it is named. A file that is not there is no other one.
fn is_same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

impl From<TransferError> for HostError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::State(error) => HostError::State(error),
            error => HostError::Transfer(error),
        }
    }
}
