//! `rapidbyte schema pipeline`: the JSON Schema of pipeline documents.

use anyhow::Result;
use rapidbyte_host::pipeline::json_schema;

use crate::exit::Exit;
use crate::printer::Printer;

pub fn pipeline(printer: &Printer) -> Result<Exit> {
    let schema = json_schema();
    printer.data(format_args!("{schema:#}"));
    printer.json(&schema);
    Ok(Exit::Success)
}
