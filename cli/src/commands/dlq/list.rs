//! `rapidbyte dlq list`: how many dead letters there are of which kind.

use std::path::Path;

use anyhow::Result;
use rapidbyte_host::Host;
use rapidbyte_host::core::dead_letter::DeadLetterGroup;
use serde::Serialize;

use super::instant_ms;
use crate::commands::open;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::quantity::Count;
use crate::runtime;
use crate::table::{Align, Table};

pub fn list(host: &Host, pipeline: &Path, printer: &Printer) -> Result<Exit> {
    let document = open(host, pipeline, printer)?;
    let groups = runtime::block_on(host.dead_letter_groups(&document))??;
    if groups.is_empty() {
        printer.data(format_args!("{} has no dead letters", document.pipeline.name.value));
    } else {
        printer.data(table(&groups));
    }
    printer.json(&ListJson {
        pipeline: &document.pipeline.name.value,
        groups: groups.iter().map(GroupJson::new).collect(),
    });
    Ok(Exit::Success)
}

fn table(groups: &[DeadLetterGroup]) -> Table {
    let mut table = Table::new([
        ("stream", Align::Left),
        ("origin", Align::Left),
        ("code", Align::Left),
        ("records", Align::Right),
        ("first", Align::Left),
        ("last", Align::Left),
    ]);
    for group in groups {
        table.row([
            group.stream.clone(),
            group.origin.clone(),
            group.code.clone(),
            Count(group.records).to_string(),
            instant_ms(group.first_at),
            instant_ms(group.last_at),
        ]);
    }
    table
}

#[derive(Serialize)]
struct ListJson<'a> {
    pipeline: &'a str,
    groups: Vec<GroupJson<'a>>,
}

#[derive(Serialize)]
struct GroupJson<'a> {
    stream: &'a str,
    origin: &'a str,
    code: &'a str,
    /// A record with several codes counts in several groups.
    records: u64,
    first_at: String,
    last_at: String,
}

impl<'a> GroupJson<'a> {
    fn new(group: &'a DeadLetterGroup) -> Self {
        GroupJson {
            stream: &group.stream,
            origin: &group.origin,
            code: &group.code,
            records: group.records,
            first_at: instant_ms(group.first_at),
            last_at: instant_ms(group.last_at),
        }
    }
}
