//! `rapidbyte dlq show`: records that could not go on, with what was wrong with each.

use anyhow::Result;
use rapidbyte_host::Host;
use rapidbyte_host::operations::dlq::{DeadRecord, LetterOptions};
use serde::Serialize;

use super::instant_ms;
use crate::args::ShowArgs;
use crate::commands::open;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::runtime;
use crate::table::{Align, Table};

pub fn show(host: &Host, args: ShowArgs, printer: &Printer) -> Result<Exit> {
    let document = open(host, &args.pipeline, printer)?;
    let options =
        LetterOptions { stream: args.stream, origin: args.origin, code: args.code, limit: args.limit };
    let mut records = Vec::new();
    runtime::block_on(host.show_dead_letters(&document, &options, |record| records.push(record)))??;
    if records.is_empty() {
        printer.data("there are no such dead letters");
    } else {
        printer.data(table(&records));
    }
    printer.json(&ShowJson {
        pipeline: &document.pipeline.name.value,
        records: records.iter().map(RecordJson::new).collect(),
    });
    Ok(Exit::Success)
}

fn table(records: &[DeadRecord]) -> Table {
    let mut table = Table::new([
        ("time", Align::Left),
        ("stream", Align::Left),
        ("origin", Align::Left),
        ("error", Align::Left),
        ("record", Align::Left),
    ]);
    for record in records {
        let errors: Vec<String> =
            record.errors.iter().map(|error| format!("{}: {}", error.code, error.message)).collect();
        table.row([
            instant_ms(record.occurred_at),
            record.stream.clone(),
            record.origin.clone(),
            errors.join("; "),
            record.record.as_ref().map_or_else(|| "(not shown)".to_owned(), |record| record.get().to_owned()),
        ]);
    }
    table
}

#[derive(Serialize)]
struct ShowJson<'a> {
    pipeline: &'a str,
    records: Vec<RecordJson<'a>>,
}

#[derive(Serialize)]
struct RecordJson<'a> {
    occurred_at: String,
    #[serde(flatten)]
    record: &'a DeadRecord,
}

impl<'a> RecordJson<'a> {
    fn new(record: &'a DeadRecord) -> Self {
        RecordJson { occurred_at: instant_ms(record.occurred_at), record }
    }
}
