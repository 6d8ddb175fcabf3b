//! `rapidbyte schema`: what a source offers, and what a pipeline may hold.

pub mod discover;
pub mod inspect;
pub mod pipeline;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use rapidbyte_host::core::contract::{Catalog, CatalogStream};
use rapidbyte_host::core::frame::decode_schema;
use rapidbyte_host::engine::Cancellation;
use rapidbyte_host::{Host, PackageOptions};
use serde::Serialize;

use crate::building::Building;
use crate::commands::open;
use crate::printer::Printer;
use crate::progress::Progress;
use crate::runtime;

/// Asks the source of a pipeline.
fn catalog(host: &Host, pipeline: &Path, packages: &PackageOptions, printer: &Printer) -> Result<Catalog> {
    let mut building = Building::new(printer);
    let document = open(host, pipeline, printer)?;
    let observer = Arc::new(Progress::new(printer, false));
    let discovering = host.discover(&document, observer, Cancellation::new(), packages, &mut building);
    Ok(runtime::block_on(discovering)?.inspect_err(|error| building.explain(error))?)
}

/// One column of a stream.
#[derive(Serialize)]
pub struct ColumnJson {
    name: String,
    /// As Arrow writes it: `Int64`, `Timestamp(Microsecond, Some("UTC"))`.
    r#type: String,
    nullable: bool,
    /// What Arrow has no word for: `postgres.type`, `ARROW:extension:name`.
    metadata: BTreeMap<String, String>,
}

impl ColumnJson {
    /// The type's name in the source system, where the source tells.
    fn source_type(&self) -> Option<&str> {
        let told = self.metadata.iter().find(|(key, _)| key.ends_with(".type"));
        told.map(|(_, name)| name.as_str())
    }
}

fn columns(stream: &CatalogStream) -> Result<Vec<ColumnJson>> {
    let schema = decode_schema(&stream.schema)?;
    let columns = schema.fields().iter().map(|field| ColumnJson {
        name: field.name().clone(),
        r#type: field.data_type().to_string(),
        nullable: field.is_nullable(),
        metadata: field.metadata().iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
    });
    Ok(columns.collect())
}
