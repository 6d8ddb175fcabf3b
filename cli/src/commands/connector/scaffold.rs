//! `rapidbyte connector scaffold`: a new connector project. Asks for name and role on a terminal, and there alone.

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
    let watched = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let name = match args.name {
        Some(name) => name,
        None if watched => ask_name(role)?,
        None => {
            return Err(Failure::usage("name_missing", "a connector needs a name")
                .hint("give it with `--name source-jira`; there is no terminal to ask on")
                .into());
        }
    };
    let role = match (role, scaffold::Role::of_name(&name)) {
        (None, None) if watched => Some(ask_role()?),
        _ => role,
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
fn ask_name(role: Option<scaffold::Role>) -> Result<String> {
    let example = role.unwrap_or(scaffold::Role::Source).prefix();
    let missing = || Failure::usage("name_missing", "a connector needs a name");
    ask(&format!("name (like `{example}jira`)"), missing, |name| {
        // A name that does not say its role is followed by the question for it.
        let role = role.or_else(|| scaffold::Role::of_name(name)).unwrap_or(scaffold::Role::Source);
        scaffold::name::check(name, Some(role)).map(|_| name.to_owned()).map_err(|bad| {
            match &bad.suggestion {
                Some(suggestion) => format!("{bad}; `{suggestion}` would do"),
                None => bad.to_string(),
            }
        })
    })
}

fn ask_role() -> Result<scaffold::Role> {
    let words = scaffold::Role::ALL.map(scaffold::Role::as_str).join(", ");
    let missing = || Failure::usage("role_missing", "a connector needs a role");
    ask(&format!("role ({words})"), missing, |answer| {
        let role = scaffold::Role::ALL.into_iter().find(|role| role.as_str() == answer);
        role.ok_or_else(|| format!("`{}` is none of {words}", answer.escape_debug()))
    })
}

/// Asks until the answer can be read.
fn ask<T>(
    question: &str,
    missing: impl Fn() -> Failure,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T> {
    let mut lines = std::io::stdin().lock().lines();
    loop {
        eprint!("{question}: ");
        std::io::stderr().flush()?;
        let Some(line) = lines.next().transpose()? else {
            eprintln!();
            return Err(missing().into());
        };
        match read(line.trim()) {
            Ok(answer) => return Ok(answer),
            Err(reason) => eprintln!("{reason}"),
        }
    }
}
