//! The binary `rapidbyte`: arguments → [`settings`] → [`commands`], which call one host function each and print.
//! Everything that comes from outside (flags, environment, terminal, signals) is read here and handed down.
//!
//! Refuses to know: how anything is done. What a library user would miss belongs into `rapidbyte-host`.

mod args;
mod asking;
mod building;
mod commands;
mod downloading;
mod exit;
mod faults;
mod interrupt;
mod logging;
mod memory;
mod printer;
mod progress;
mod quantity;
mod report;
mod runtime;
mod settings;
mod table;
mod telemetry;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::{Args, Format};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::report::Report;
use crate::settings::Settings;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match Args::try_parse_from(&arguments) {
        Ok(args) => start(args).into(),
        Err(error) => refuse(&error, &arguments).into(),
    }
}

/// Resolves the settings, runs the command, says what went wrong.
fn start(args: Args) -> Exit {
    let mut settings = match Settings::resolve(&args.global) {
        Ok(settings) => settings,
        Err(error) => {
            let printer = Printer::new(args.global.format, args.global.quiet, Default::default());
            return printer.report(&Report::new(&error));
        }
    };
    let printer = Printer::new(settings.format, settings.quiet, settings.host.redactor.clone());
    printer.report_panics();
    settings.telemetry = telemetry::start(&settings, &args.command, &printer);
    logging::start(&settings, &printer);
    let exit = match commands::dispatch(args.command, &settings, &printer) {
        Ok(exit) => exit,
        Err(error) => printer.report(&Report::new(&error)),
    };
    telemetry::finish(settings.telemetry.take(), &printer);
    exit
}

/// Help, version, and arguments that make no sense.
fn refuse(error: &clap::Error, arguments: &[OsString]) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Whoever closed the pipe has read enough.
            let _ = error.print();
            Exit::Success
        }
        _ if asks_for_json(arguments) => {
            let printer = Printer::new(Format::Json, false, Default::default());
            printer.report(&Report::usage(error))
        }
        _ => {
            let _ = error.print();
            Exit::Usage
        }
    }
}

/// Whether arguments that could not be parsed ask for JSON, as far as one can tell.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let pairs = arguments.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json");
    pairs || arguments.iter().any(|argument| argument == "--format=json")
}
