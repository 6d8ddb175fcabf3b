//! The commands, where their names say: `schema/discover.rs` is `rapidbyte schema discover`. Each calls one function of the
//! host with an options struct and prints what it answers.

mod check;
mod completions;
mod connector;
mod connectors;
mod dlq;
mod doctor;
mod folder;
mod init;
mod key;
mod query;
mod registry;
mod run;
mod schema;
mod state;

use std::path::Path;

use anyhow::Result;
use rapidbyte_host::operations::connector::BuildOptions;
use rapidbyte_host::operations::document::Document;
use rapidbyte_host::operations::index::YankOptions;
use rapidbyte_host::pipeline::render;
use rapidbyte_host::publish::index::VALID_FOR;
use rapidbyte_host::{Host, HostError};

use crate::args::{CassetteArgs, Command, ConnectorCommand, Format, KeyCommand, SchemaCommand};
use crate::downloading::Downloads;
use crate::exit::Exit;
use crate::printer::{Printer, paint};
use crate::report::Failure;
use crate::settings::Settings;

/// Runs what was asked for.
pub fn dispatch(command: Command, settings: &Settings, printer: &Printer) -> Result<Exit> {
    let host = Host::new(settings.host.clone());
    if !matches!(settings.format, Format::Human | Format::Json) && !matches!(command, Command::Query(_)) {
        let failure = Failure::usage("format", "this command's results have no such format");
        return Err(failure.hint("use `--format human` or `--format json`").into());
    }
    match command {
        Command::Query(args) => query::query(&host, &args, settings, printer),
        Command::Init(args) => init::init(&host, &args, printer),
        Command::Doctor => doctor::doctor(&host, printer),
        Command::Completions(args) => completions::completions(&args, printer),
        Command::Run(args) => run::run(&host, &args, settings, printer),
        Command::Check(args) => check::check(&host, &args, settings, printer),
        Command::Connectors(command) => connectors::dispatch(&host, command, settings, printer),
        Command::Registry(command) => registry::dispatch(&host, command, settings, printer),
        Command::Schema(SchemaCommand::Discover { pipeline, packages }) => {
            let packages = Downloads::options(packages, printer, settings.watched);
            schema::discover::discover(&host, &pipeline, &packages, printer)
        }
        Command::Schema(SchemaCommand::Inspect { pipeline, stream, packages }) => {
            let packages = Downloads::options(packages, printer, settings.watched);
            schema::inspect::inspect(&host, &pipeline, &stream, &packages, printer)
        }
        Command::Schema(SchemaCommand::Pipeline) => schema::pipeline::pipeline(printer),
        Command::Connector(ConnectorCommand::Build { path, release: _, debug, targets }) => {
            let options = BuildOptions { folder: path, debug, targets, composition: settings.verbose };
            connector::build::build(&host, &options, printer)
        }
        Command::Connector(ConnectorCommand::Test(args)) => {
            connector::test::test(&host, &args, settings, printer)
        }
        Command::Connector(ConnectorCommand::Dev(args)) => connector::dev::dev(&args, settings, printer),
        Command::Connector(ConnectorCommand::Scaffold(args)) => {
            connector::scaffold::scaffold(&host, args, printer)
        }
        Command::Connector(ConnectorCommand::Publish(args)) => {
            connector::publish::publish(&host, args, settings, printer)
        }
        Command::Connector(ConnectorCommand::Yank(args)) => {
            let (name, version) = args.version;
            let registry = registry::from_here(args.registry);
            let options = YankOptions { registry, name, version, undo: args.undo, valid_for: VALID_FOR };
            connector::yank::yank(&host, options, args.key.as_deref(), settings, printer)
        }
        Command::Connector(ConnectorCommand::Sdk) => connector::sdk::sdk(&host, printer),
        Command::Key(KeyCommand::Generate { output }) => key::generate::generate(&output, settings, printer),
        Command::State(command) => state::dispatch(&host, command, settings, printer),
        Command::Dlq(command) => dlq::dispatch(&host, command, settings, printer),
    }
}

/// Chooses the network that connectors get.
fn use_cassettes(host: &Host, args: &CassetteArgs) -> Result<(), HostError> {
    match (&args.record, &args.replay) {
        (Some(folder), _) => host.record_network(folder),
        (None, Some(folder)) => host.replay_network(folder),
        (None, None) => Ok(()),
    }
}

/// Reads a pipeline document and says what is odd about it.
fn open(host: &Host, file: &Path, printer: &Printer) -> Result<Document, HostError> {
    let document = host.open_document(file)?;
    for warning in &document.warnings {
        let mut text = String::new();
        render::render(&document.pipeline.file, warning, &paint, &mut text);
        printer.document_warning(&text);
    }
    Ok(document)
}
