//! A database per test, streams to feed, runs to look at.

use std::sync::Arc;

use dest_postgres::DestPostgres;
use rapidbyte_postgres::testing::TestServer;
use rapidbyte_sdk::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use rapidbyte_sdk::arrow::schema::{DataType, Field, Schema, SchemaRef};
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{TestHost, block_on};
use serde_json::{Value, json};

/// An empty database of the shared server.
pub struct Database {
    pub server: Arc<TestServer>,
    pub name: String,
}

impl Database {
    pub fn new() -> Self {
        let server = TestServer::shared();
        let name = server.database();
        Database { server, name }
    }

    pub fn query(&self, sql: &str) -> String {
        self.server.query(&self.name, sql)
    }

    pub fn run(&self, sql: &str) {
        self.server.psql(&self.name, sql);
    }

    /// Forgets what the last case left: cheaper than a database for each.
    pub fn clear(&self) {
        self.run("SET client_min_messages = error; DROP SCHEMA IF EXISTS raw CASCADE");
    }

    pub fn config(&self) -> Value {
        json!({ "host": "127.0.0.1", "port": self.server.port(), "user": "postgres", "database": self.name,
                "schema": "raw", "sslmode": "disable" })
    }

    /// Every row of a table as text, in order.
    pub fn rows(&self, table: &str) -> Vec<String> {
        let rows = self.query(&format!("SELECT t::text FROM {table} t ORDER BY t::text"));
        rows.lines().map(str::to_owned).collect()
    }

    /// Tables and types of the schema that Rapidbyte made for itself, the receipts aside.
    pub fn leftovers(&self) -> String {
        self.query(
            "SELECT relname FROM pg_class WHERE relname LIKE '\\_rapidbyte\\_%' AND relkind = 'r' \
             AND relpersistence = 'p' AND relname <> '_rapidbyte_receipts'",
        )
    }

    /// Runs the destination over what `feed` feeds.
    pub fn write(
        &self,
        stream: &StreamContext,
        feed: impl FnOnce(&TestHost),
    ) -> (Result<RunSummary, ConnectorError>, TestHost) {
        self.write_behind(0, stream, feed)
    }

    /// The same with checkpoints behind `last_id`.
    pub fn write_behind(
        &self,
        last_id: u64,
        stream: &StreamContext,
        feed: impl FnOnce(&TestHost),
    ) -> (Result<RunSummary, ConnectorError>, TestHost) {
        let host = TestHost::new();
        host.set_last_checkpoint_id(last_id);
        feed(&host);
        (write_with(&host, self.config(), RunRequest::write(stream.clone())), host)
    }
}

/// Opens and runs the destination.
pub fn write_with(host: &TestHost, config: Value, request: RunRequest) -> Result<RunSummary, ConnectorError> {
    block_on(async {
        let mut session = host.destination::<DestPostgres>(config).await?;
        let result = session.run(request).await;
        session.close().await?;
        result
    })
}

/// `id int8 NOT NULL, name text`.
pub fn people_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
    ]))
}

pub fn people(rows: &[(i64, &str)]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
    ];
    RecordBatch::try_new(people_schema(), columns).unwrap()
}

/// A stream of people in some write mode.
pub fn people_stream(mode: WriteMode) -> StreamContext {
    stream("people", people_schema(), mode)
}

pub fn stream(name: &str, schema: SchemaRef, mode: WriteMode) -> StreamContext {
    let key =
        if matches!(mode, WriteMode::Upsert | WriteMode::Merge) { vec!["id".to_owned()] } else { vec![] };
    let mut stream = StreamContext::new(name, schema);
    stream.write = Some(WritePlan { mode, primary_key: key, update_columns: vec![] });
    stream
}

pub fn cursor(value: i64) -> Option<Cursor> {
    Some(Cursor::new("id", CursorValue::Int64(value)))
}

/// A batch of one column.
pub fn column(name: &str, array: impl rapidbyte_sdk::arrow::array::Array + 'static) -> RecordBatch {
    let field = Field::new(name, array.data_type().clone(), true);
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(array)]).unwrap()
}
