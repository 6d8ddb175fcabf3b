//! `rapidbyte connector scaffold`: a new connector project. Asks for the name on a terminal, and there alone.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Result;
use rapidbyte_host::Host;
use rapidbyte_host::operations::scaffold::ScaffoldOptions;
use rapidbyte_host::scaffold;
use serde::Serialize;

use crate::args::{Language, Role, ScaffoldArgs};
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::report::Failure;

pub fn scaffold(host: &Host, args: ScaffoldArgs, printer: &Printer) -> Result<Exit> {
    let language = match args.lang {
        Language::Rust => scaffold::Language::Rust,
        Language::Python => scaffold::Language::Python,
        Language::Js => scaffold::Language::JavaScript,
    };
    let role = args.role.map(|role| match role {
        Role::Source => scaffold::Role::Source,
        Role::Destination => scaffold::Role::Destination,
        Role::Transform => scaffold::Role::Transform,
    });
    let name = match args.name {
        Some(name) => name,
        None if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() => ask(role)?,
        None => {
            return Err(Failure::usage("name_missing", "a connector needs a name")
                .hint("give it with `--name source-jira`; there is no terminal to ask on")
                .into());
        }
    };
    let folder = args.path.unwrap_or_else(|| PathBuf::from(&name));
    let project =
        host.scaffold_connector(ScaffoldOptions { name: &name, role, language, folder: &folder })?;
    printer.status(
        Tone::Good,
        "Created",
        format_args!("{} ({}, {} files)", project.name, project.role.as_str(), project.files.len()),
    );
    let next = match language {
        scaffold::Language::Rust => "cargo test",
        scaffold::Language::Python => "python3 -m unittest",
        scaffold::Language::JavaScript => "node --test",
    };
    printer.status(Tone::Good, "Next", format_args!("cd {}, {next}; README.md goes on", folder.display()));
    printer.data(project.folder.display());
    printer.json(&ScaffoldJson {
        name: &project.name,
        role: project.role.as_str(),
        language: project.language.as_str(),
        folder: project.folder.display().to_string(),
        sdk: project.sdk.display().to_string(),
        files: &project.files,
    });
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct ScaffoldJson<'a> {
    name: &'a str,
    role: &'static str,
    language: &'static str,
    folder: String,
    sdk: String,
    /// Relative to `folder`.
    files: &'a [String],
}

/// Asks for a name until it is one. An end of input is no answer.
fn ask(role: Option<scaffold::Role>) -> Result<String> {
    let mut lines = std::io::stdin().lock().lines();
    loop {
        eprint!("name (like `{}jira`): ", role.unwrap_or(scaffold::Role::Source).prefix());
        std::io::stderr().flush()?;
        let Some(line) = lines.next().transpose()? else {
            eprintln!();
            return Err(Failure::usage("name_missing", "a connector needs a name").into());
        };
        let name = line.trim().to_owned();
        match scaffold::name::check(&name, role) {
            Ok(_) => return Ok(name),
            Err(bad) => {
                eprintln!("{bad}");
                if let Some(suggestion) = bad.suggestion {
                    eprintln!("`{suggestion}` would do");
                }
            }
        }
    }
}
