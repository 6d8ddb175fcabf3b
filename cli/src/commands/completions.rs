//! `rapidbyte completions`: a script that completes commands in a shell.

use anyhow::{Context, Result};
use clap::CommandFactory;
use serde::Serialize;

use crate::args::{Args, CompletionsArgs};
use crate::exit::Exit;
use crate::printer::Printer;

pub fn completions(args: &CompletionsArgs, printer: &Printer) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "rapidbyte", &mut script);
    let script = String::from_utf8(script).context("the script is no text")?;
    printer.data(script.trim_end());
    printer.json(&CompletionsJson { shell: args.shell.to_string(), script: &script });
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct CompletionsJson<'a> {
    shell: String,
    script: &'a str,
}
