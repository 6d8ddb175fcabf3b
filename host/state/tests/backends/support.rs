//! A state of either backend for one test, and short names for what every test says.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rapidbyte_core::contract::{Cursor, CursorValue, RecordError};
use rapidbyte_core::dead_letter::DeadLetters;
use rapidbyte_core::ports::{RunCounters, SavedCheckpoint, StateError, TaskKey};
use rapidbyte_state::{PostgresStore, SqliteStore, Store};
use tempfile::TempDir;
use xtask::postgres::{Durability, PASSWORD, Server, USER};

/// Where a state lies. Every `open` is another holder, as another process would be.
pub enum Backend {
    Sqlite(TempDir),
    Postgres { server: Arc<Server>, database: String },
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// The server that the tests of this process share while they run side by side.
pub fn shared_server() -> Arc<Server> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let server = Arc::new(
        Server::start_with(Durability::Relaxed, &[("max_connections", "300"), ("shared_buffers", "32MB")])
            .unwrap(),
    );
    *shared = Arc::downgrade(&server);
    server
}

/// A new, empty database.
pub fn database(server: &Server) -> String {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let name = format!("state_{}", COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    server.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0")).unwrap();
    name
}

pub fn connection(server: &Server, database: &str) -> String {
    let (host, port) = (server.host(), server.port());
    format!("host={host} port={port} user={USER} password='{PASSWORD}' dbname={database} sslmode=disable")
}

impl Backend {
    pub fn sqlite() -> Self {
        Backend::Sqlite(tempfile::tempdir().unwrap())
    }

    pub fn postgres() -> Self {
        let server = shared_server();
        let database = database(&server);
        Backend::Postgres { server, database }
    }

    /// A new, empty state of the other kind.
    pub fn other_kind(&self) -> Self {
        match self {
            Backend::Sqlite(_) => Backend::postgres(),
            Backend::Postgres { .. } => Backend::sqlite(),
        }
    }

    /// A new, empty state of the same kind.
    pub fn another(&self) -> Self {
        match self {
            Backend::Sqlite(_) => Backend::sqlite(),
            Backend::Postgres { .. } => Backend::postgres(),
        }
    }

    pub async fn open(&self) -> Arc<dyn Store> {
        match self {
            Backend::Sqlite(folder) => Arc::new(SqliteStore::open(&folder.path().join("state.db")).unwrap()),
            Backend::Postgres { server, database } => {
                Arc::new(PostgresStore::open(&connection(server, database)).await.unwrap())
            }
        }
    }
}

/// Claims a stream whose holder has just gone.
pub async fn begin_when_free(store: &dyn Store, pipeline: &str, stream: &str) -> i64 {
    let started = Instant::now();
    loop {
        match store.begin_run(pipeline, stream).await {
            Ok(run) => return run,
            Err(StateError::Busy { .. }) if started.elapsed() < Duration::from_secs(60) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

pub fn key(stream: &str) -> TaskKey {
    TaskKey { pipeline: "p".into(), stream: stream.into(), partition: 0 }
}

pub fn checkpoint(id: u64, value: CursorValue) -> SavedCheckpoint {
    SavedCheckpoint {
        id,
        cursor: Some(Cursor { field: "updated_at".into(), value }),
        complete: false,
        reset: false,
        saved_at: 1_700_000_000,
    }
}

/// A checkpoint whose cursor does not matter.
pub fn mark(id: u64) -> SavedCheckpoint {
    checkpoint(id, CursorValue::Int64(id.cast_signed()))
}

pub fn counters(n: u64) -> RunCounters {
    RunCounters { records_read: n, records_written: n + 1, bytes_read: n + 2, bytes_written: n + 3 }
}

/// One refused record behind a checkpoint; `name` tells it from others.
pub fn letters(after: u64, name: &str) -> DeadLetters {
    let error = RecordError {
        row: 0,
        code: "22P02".into(),
        message: format!("`{name}` \"quoted\" \0 is not a number"),
    };
    DeadLetters {
        origin: "destination".into(),
        connector: "dest-postgres@1.0.0".into(),
        after,
        frame: Bytes::from(format!("\0frame of {name}\u{fffd}")),
        errors: vec![error],
        occurred_at: 1_700_000_000_123,
    }
}

pub fn said(error: &StateError) -> String {
    error.to_string()
}
