//! `rapidbyte schema discover`: the streams that a pipeline's source offers.

use std::path::Path;

use anyhow::Result;
use rapidbyte_host::core::contract::CatalogStream;
use rapidbyte_host::{Host, PackageOptions};
use serde::Serialize;

use super::{ColumnJson, catalog, columns};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::quantity::Count;
use crate::table::{Align, Table};

pub fn discover(host: &Host, pipeline: &Path, packages: &PackageOptions, printer: &Printer) -> Result<Exit> {
    let catalog = catalog(host, pipeline, packages, printer)?;
    let mut table = Table::new([
        ("stream", Align::Left),
        ("columns", Align::Right),
        ("key", Align::Left),
        ("sync modes", Align::Left),
        ("rows, about", Align::Right),
    ]);
    let mut streams = Vec::with_capacity(catalog.streams.len());
    for stream in &catalog.streams {
        let columns = columns(stream)?;
        let modes: Vec<&str> = stream.sync_modes.iter().map(|mode| mode.as_str()).collect();
        table.row([
            stream.name.clone(),
            columns.len().to_string(),
            if stream.primary_key.is_empty() { "-".to_owned() } else { stream.primary_key.join(", ") },
            modes.join(", "),
            stream.estimated_rows.map_or("-".to_owned(), |rows| Count(rows).to_string()),
        ]);
        streams.push(StreamJson::new(stream, columns));
    }
    if table.is_empty() {
        printer.data("the source has no streams");
    } else {
        printer.data(table);
    }
    printer.json(&DiscoverJson { streams });
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct DiscoverJson<'a> {
    streams: Vec<StreamJson<'a>>,
}

/// A stream of the catalog in JSON.
#[derive(Serialize)]
pub struct StreamJson<'a> {
    name: &'a str,
    primary_key: &'a [String],
    cursor_fields: &'a [String],
    sync_modes: Vec<&'static str>,
    estimated_rows: Option<u64>,
    estimated_bytes: Option<u64>,
    columns: Vec<ColumnJson>,
}

impl<'a> StreamJson<'a> {
    pub fn new(stream: &'a CatalogStream, columns: Vec<ColumnJson>) -> Self {
        StreamJson {
            name: &stream.name,
            primary_key: &stream.primary_key,
            cursor_fields: &stream.cursor_fields,
            sync_modes: stream.sync_modes.iter().map(|mode| mode.as_str()).collect(),
            estimated_rows: stream.estimated_rows,
            estimated_bytes: stream.estimated_bytes,
            columns,
        }
    }
}
