//! A database of one's own and a source over it.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use rapidbyte_postgres::decode::text::value_text;
use rapidbyte_postgres::testing::TestServer;
use rapidbyte_postgres::types::ColumnType;
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{EmittedEvent, TestHost, block_on};
use serde_json::{Value, json};
use source_postgres::SourcePostgres;

pub struct Database {
    pub server: Arc<TestServer>,
    pub name: String,
    /// Merged into the source's config.
    pub config: Value,
}

/// What one run did.
pub struct Read {
    pub events: Vec<EmittedEvent>,
    pub summary: ReadSummary,
    pub host: TestHost,
}

impl Database {
    /// An empty database on which `sql` was run.
    pub fn new(sql: &str) -> Self {
        let server = TestServer::shared();
        let name = server.database();
        server.psql(&name, sql);
        Self { server, name, config: json!({}) }
    }

    pub fn with_config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    pub fn run(&self, sql: &str) {
        self.server.psql(&self.name, sql);
    }

    pub fn query(&self, sql: &str) -> String {
        self.server.query(&self.name, sql)
    }

    pub fn source_config(&self) -> Value {
        let mut config = json!({
            "host": "127.0.0.1",
            "port": self.server.port(),
            "user": "postgres",
            "database": self.name,
            "sslmode": "disable",
        });
        for (key, value) in self.config.as_object().unwrap() {
            config[key] = value.clone();
        }
        config
    }

    pub fn discover(&self) -> Catalog {
        block_on(async {
            let mut source = TestHost::new().source::<SourcePostgres>(self.source_config()).await.unwrap();
            source.run(RunRequest::discover()).await.unwrap().catalog.unwrap()
        })
    }

    pub fn validate(&self) -> Result<ValidationReport, ConnectorError> {
        block_on(async {
            TestHost::new().source::<SourcePostgres>(self.source_config()).await?.validate().await
        })
    }

    pub fn try_read(&self, request: RunRequest) -> Result<Read, ConnectorError> {
        self.try_read_on(TestHost::new(), request)
    }

    pub fn try_read_on(&self, host: TestHost, request: RunRequest) -> Result<Read, ConnectorError> {
        block_on(self.run_on(host, request))
    }

    /// Reads where a runtime is running already.
    pub async fn run_on(&self, host: TestHost, request: RunRequest) -> Result<Read, ConnectorError> {
        let mut source = host.source::<SourcePostgres>(self.source_config()).await?;
        let summary = source.run(request).await?;
        let read = Read { events: host.emitted(), summary: summary.read.unwrap(), host: host.clone() };
        assert_eq!(read.summary.records, read.rows().len() as u64);
        Ok(read)
    }

    pub fn read(&self, stream: StreamContext) -> Read {
        self.try_read(RunRequest::read(stream)).unwrap()
    }

    /// Why reading fails.
    pub fn failure(&self, stream: StreamContext) -> ConnectorError {
        match self.try_read(RunRequest::read(stream)) {
            Ok(read) => panic!("read {} records", read.summary.records),
            Err(error) => error,
        }
    }
}

impl Read {
    pub fn batches(&self) -> Vec<&RecordBatch> {
        let events = self.events.iter();
        events
            .filter_map(|event| match event {
                EmittedEvent::Batch(batch) => Some(batch),
                EmittedEvent::Checkpoint(_) => None,
            })
            .collect()
    }

    pub fn checkpoints(&self) -> Vec<&Checkpoint> {
        let events = self.events.iter();
        events
            .filter_map(|event| match event {
                EmittedEvent::Checkpoint(checkpoint) => Some(checkpoint),
                EmittedEvent::Batch(_) => None,
            })
            .collect()
    }

    /// Every record's values as text, joined by `|`; NULL is `∅`.
    pub fn rows(&self) -> Vec<String> {
        self.batches().into_iter().flat_map(batch_rows).collect()
    }

    /// Where the next run continues.
    pub fn position(&self) -> Option<CursorValue> {
        Some(self.checkpoints().last()?.cursor.as_ref()?.value.clone())
    }

    /// The records behind which a checkpoint stands, and its position, for each checkpoint.
    pub fn cuts(&self) -> Vec<(usize, CursorValue)> {
        let mut records = 0;
        let mut cuts = Vec::new();
        for event in &self.events {
            match event {
                EmittedEvent::Batch(batch) => records += batch.num_rows(),
                EmittedEvent::Checkpoint(checkpoint) => {
                    cuts.push((records, checkpoint.cursor.as_ref().unwrap().value.clone()));
                }
            }
        }
        cuts
    }
}

fn batch_rows(batch: &RecordBatch) -> Vec<String> {
    (0..batch.num_rows()).map(|row| values(batch, row).join("|")).collect()
}

/// One record's values as PostgreSQL's text.
pub fn values(batch: &RecordBatch, row: usize) -> Vec<String> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    columns
        .map(|(field, array)| {
            let codec = ColumnType::of_field(field).expect("fields come from PostgreSQL").codec;
            value_text(array.as_ref(), codec, row).unwrap_or_else(|| "∅".to_owned())
        })
        .collect()
}

fn no_schema() -> SchemaRef {
    Arc::new(Schema::empty())
}

/// A full refresh.
pub fn full(stream: &str) -> StreamContext {
    StreamContext::new(stream, no_schema())
}

pub fn incremental(stream: &str, field: &str, tie_breaker: &[&str]) -> StreamContext {
    let tie_breaker = tie_breaker.iter().map(|name| (*name).to_owned()).collect();
    StreamContext {
        sync_mode: SyncMode::Incremental,
        cursor: Some(CursorSpec { field: field.to_owned(), tie_breaker }),
        ..full(stream)
    }
}

pub fn behind(position: Option<CursorValue>, stream: StreamContext) -> StreamContext {
    StreamContext { position, ..stream }
}

/// A checkpoint every so many rows.
pub fn checkpoint_rows(rows: u64, stream: StreamContext) -> StreamContext {
    let limits = Limits { checkpoint_interval_rows: rows, ..stream.limits };
    StreamContext { limits, ..stream }
}

pub fn columns(names: &[&str], stream: StreamContext) -> StreamContext {
    StreamContext { columns: names.iter().map(|name| (*name).to_owned()).collect(), ..stream }
}
