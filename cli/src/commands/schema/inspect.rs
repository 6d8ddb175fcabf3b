//! `rapidbyte schema inspect`: the columns of one stream.

use std::path::Path;

use anyhow::Result;
use rapidbyte_host::{Host, PackageOptions};

use super::discover::StreamJson;
use super::{catalog, columns};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::report::Failure;
use crate::table::{Align, Table};

/// So many of a source's streams are named to somebody who asked for one that is not there.
const NAMES_SHOWN_MAX: usize = 10;

pub fn inspect(
    host: &Host,
    pipeline: &Path,
    name: &str,
    packages: &PackageOptions,
    printer: &Printer,
) -> Result<Exit> {
    let catalog = catalog(host, pipeline, packages, printer)?;
    let Some(stream) = catalog.streams.iter().find(|stream| stream.name == name) else {
        let known: Vec<&str> = catalog.streams.iter().map(|stream| stream.name.as_str()).collect();
        let more = if known.len() > NAMES_SHOWN_MAX { ", …" } else { "" };
        let shown = known.iter().take(NAMES_SHOWN_MAX).map(|name| format!("`{name}`")).collect::<Vec<_>>();
        return Err(Failure::usage("unknown_stream", format!("the source has no stream `{name}`"))
            .hint(format!("it has {}{more}", shown.join(", ")))
            .into());
    };
    let columns = columns(stream)?;
    let mut table = Table::new([
        ("column", Align::Left),
        ("type", Align::Left),
        ("nullable", Align::Left),
        ("key", Align::Left),
        ("at the source", Align::Left),
    ]);
    for column in &columns {
        let key = stream.primary_key.iter().position(|key| *key == column.name);
        table.row([
            column.name.clone(),
            column.r#type.clone(),
            if column.nullable { "yes" } else { "no" }.to_owned(),
            key.map_or(String::new(), |position| (position + 1).to_string()),
            column.source_type().unwrap_or_default().to_owned(),
        ]);
    }
    printer.data(table);
    printer.json(&StreamJson::new(stream, columns));
    Ok(Exit::Success)
}
