//! The command line as types. What they mean together with the environment is decided in `settings`.

mod connectors;
mod key;
mod publish;
mod query;
mod registry;
mod state;
mod workspace;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use rapidbyte_host::wasm::NativeTarget;

use crate::report::Failure;

pub use connectors::{AddArgs, Addition, ConnectorsCommand, PackageArgs, TestPackageArgs, UpdateArgs};
pub use key::KeyCommand;
pub use publish::{PublishArgs, YankArgs};
pub use query::QueryArgs;
pub use registry::RegistryCommand;
pub use state::{DlqCommand, ReplayArgs, RunsArgs, ShowArgs, StateCommand};
pub use workspace::{CompletionsArgs, InitArgs, SideBySide};

/// Data ingestion in one binary: pipelines of sandboxed WebAssembly connectors
#[derive(Debug, Parser)]
#[command(name = "rapidbyte", version, disable_help_subcommand = true)]
#[command(after_help = "\
Examples:
  rapidbyte init shop                         Make a workspace
  rapidbyte run pipelines/orders.yaml         Move what is new
  rapidbyte check pipelines/orders.yaml       Find out what is wrong before anything moves
  rapidbyte schema discover pipelines/orders.yaml
  rapidbyte connector scaffold --name source-jira
  rapidbyte connector scaffold --name source-jira --lang python
  rapidbyte connector build connectors/source-jira
  rapidbyte connector publish --registry acme --key acme.key
  rapidbyte connectors add acme/source-jira

Environment:
  RAPIDBYTE_HOME        Where settings, state and connectors are kept [default: ~/.rapidbyte]
  COSIGN_PASSWORD       What opens a private key
  DOCKER_CONFIG         Where credentials for registries are kept [default: ~/.docker]
  RAPIDBYTE_LOG         What is logged, by level and part: `info`, `warn,rapidbyte_engine=debug`
  RAPIDBYTE_LOG_FORMAT  `human` or `json`
  OTEL_EXPORTER_OTLP_ENDPOINT
                        Where runs are told to: a collector (docs/observability.md)
  NO_COLOR              No colours, whatever the terminal")]
pub struct Args {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Results on stdout for people, or as one JSON document
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = Format::Human)]
    pub format: Format,
    /// Say nothing but errors and results
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Log what happens (-v), or every step of it (-vv)
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Colours; by default on a terminal only
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    #[default]
    Human,
    Json,
    /// Answers of `query` alone, like the two behind it.
    #[value(hide = true)]
    Table,
    #[value(hide = true)]
    Csv,
    #[value(hide = true)]
    Parquet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a workspace: folders, settings and an example
    Init(InitArgs),
    /// Execute a pipeline, or every pipeline of a folder
    Run(RunArgs),
    /// Check a pipeline from document to connectivity; nothing moves
    Check(CheckArgs),
    /// What a pipeline's source offers, and what a pipeline may hold
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Make connectors
    #[command(subcommand)]
    Connector(ConnectorCommand),
    /// Install connectors that others have made
    #[command(subcommand)]
    Connectors(ConnectorsCommand),
    /// Where connectors come from
    #[command(subcommand)]
    Registry(RegistryCommand),
    /// Keys to sign connectors with
    #[command(subcommand)]
    Key(KeyCommand),
    /// What is remembered between runs
    #[command(subcommand)]
    State(StateCommand),
    /// Records that could not go on
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Ask what was synced, in SQL
    Query(QueryArgs),
    /// Find out whether this machine has what is needed
    #[command(after_help = "\
Looks at the home folder, compiled code, settings, state, registries, clock, disk, memory and the Rust toolchain. \
Ends with 4 if pipelines cannot run here; what not everybody needs is a warning.

Examples:
  rapidbyte doctor
  rapidbyte doctor --format json | jq '.findings[] | select(.status != \"ok\")'")]
    Doctor,
    /// Print a script that completes commands in a shell
    Completions(CompletionsArgs),
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Connectors that the pipeline names by path are built first; unchanged ones are not built again. \
Ctrl-C ends the run cleanly at the next checkpoint, a second Ctrl-C at once. Either way the next run \
goes on where this one ended.

Examples:
  rapidbyte run pipelines/orders.yaml
  rapidbyte run pipelines/                    Every .yaml and .yml file in it
  rapidbyte run pipelines/ --parallel         Several of them side by side
  rapidbyte run pipelines/orders.yaml --dry-run
  rapidbyte run pipelines/orders.yaml --stream orders --stream items
  rapidbyte run pipelines/orders.yaml --profile=profile.html
  rapidbyte run pipelines/orders.yaml --record cassettes/orders
  rapidbyte run pipelines/orders.yaml --format json | jq .memory_peak_bytes")]
pub struct RunArgs {
    /// The pipeline document, or a folder of them
    #[arg(value_name = "PIPELINE|DIR")]
    pub pipeline: PathBuf,
    /// Only this stream (may be given several times)
    #[arg(long = "stream", value_name = "STREAM")]
    pub streams: Vec<String>,
    /// Do everything but move data: check, plan changes of tables, estimate rows and time
    #[arg(long, conflicts_with_all = ["streams", "profile", "parallel"])]
    pub dry_run: bool,
    /// Say what each stage did with its time and what held the run back; with a path, as a page with the timeline
    #[arg(long, value_name = "PATH.html", num_args = 0..=1, require_equals = true)]
    pub profile: Option<Option<PathBuf>>,
    #[command(flatten)]
    pub side_by_side: SideBySide,
    #[command(flatten)]
    pub packages: PackageArgs,
    #[command(flatten)]
    pub cassettes: CassetteArgs,
}

#[derive(Debug, Default, ClapArgs)]
#[command(next_help_heading = "Network cassettes (docs/cassettes.md)")]
pub struct CassetteArgs {
    /// Record to this folder what connectors exchange with the network, secrets masked
    #[arg(long, value_name = "DIR", conflicts_with = "replay")]
    pub record: Option<PathBuf>,
    /// Serve connectors from this recording instead of the network
    #[arg(long, value_name = "DIR")]
    pub replay: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Checks the document, the connectors' manifests and grants, connections and credentials, the streams' \
schemas and keys, and the state database. Ends with success only if a run could start.

Examples:
  rapidbyte check pipelines/orders.yaml
  rapidbyte check pipelines/orders.yaml --format json")]
pub struct CheckArgs {
    /// The pipeline document
    pub pipeline: PathBuf,
    #[command(flatten)]
    pub packages: PackageArgs,
    #[command(flatten)]
    pub cassettes: CassetteArgs,
}

#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// List the streams that a pipeline's source offers
    #[command(after_help = "\
Examples:
  rapidbyte schema discover pipelines/orders.yaml
  rapidbyte schema discover pipelines/orders.yaml --format json | jq '.streams[].name'")]
    Discover {
        /// The pipeline document
        pipeline: PathBuf,
        #[command(flatten)]
        packages: PackageArgs,
    },
    /// Show the columns of one stream
    #[command(after_help = "\
Examples:
  rapidbyte schema inspect pipelines/orders.yaml --stream orders")]
    Inspect {
        /// The pipeline document
        pipeline: PathBuf,
        /// The stream, as `schema discover` names it
        #[arg(long, value_name = "STREAM")]
        stream: String,
        #[command(flatten)]
        packages: PackageArgs,
    },
    /// Print the JSON Schema of pipeline documents, for editors
    #[command(after_help = "\
Name the file at the top of a pipeline, and an editor with a YAML language server completes and checks it:
# yaml-language-server: $schema=../pipeline.schema.json

Examples:
  rapidbyte schema pipeline > pipeline.schema.json")]
    Pipeline,
}

#[derive(Debug, Subcommand)]
pub enum ConnectorCommand {
    /// Make a new connector project that builds, passes its tests and runs as it is
    #[command(after_help = "\
The project's folder is named on stdout. On a terminal you are asked for what is missing; elsewhere a missing \
name is an error. Nothing is ever overwritten.

Examples:
  rapidbyte connector scaffold                Asks for the name
  rapidbyte connector scaffold --name source-jira
  rapidbyte connector scaffold --name jira --role destination --path connectors/jira")]
    Scaffold(ScaffoldArgs),
    /// Unpack the SDK that this version builds connectors with, and name its folder
    #[command(after_help = "\
Scaffolding does this by itself. It is for other machines that a scaffolded project is built on: name the \
folder in its `Cargo.toml` and `pipeline.yaml`.

Examples:
  rapidbyte connector sdk")]
    Sdk,
    /// Build a connector project to a WebAssembly component and compile that for this machine
    #[command(after_help = "\
The component with its manifest inside is named on stdout. It runs on any machine: name it under `use:`.
A project with a `Cargo.toml` is built by Cargo, one with a `pyproject.toml` by the `componentize-py` in its \
`.venv`, one with a `package.json` by the `componentize-js` in its `node_modules`.

Examples:
  rapidbyte connector build                   The project in this folder
  rapidbyte connector build connectors/source-jira
  rapidbyte connector build --debug           Quicker to build, slower to run
  rapidbyte connector build --verbose         And what the component is made of, crate by crate
  rapidbyte connector build --target aarch64-apple-darwin --target x86_64-pc-windows-msvc")]
    Build {
        /// The project's folder
        #[arg(value_name = "PATH", default_value = ".")]
        path: PathBuf,
        /// Build with Cargo's release profile (this is the default)
        #[arg(long, conflicts_with = "debug")]
        release: bool,
        /// Build with Cargo's dev profile
        #[arg(long)]
        debug: bool,
        /// Compile for this platform too, into a file beside the component (may be given several times)
        #[arg(long = "target", value_name = "TRIPLE", value_parser = native_target())]
        targets: Vec<NativeTarget>,
    },
    /// Prove that a connector keeps the contract: the conformance suite
    Test(TestArgs),
    /// Build and test a connector again, or run a pipeline with it, each time a file is saved
    Dev(DevArgs),
    /// Publish a connector: build, test, sign and push it
    Publish(PublishArgs),
    /// Withdraw a version, so that nobody chooses it any more
    Yank(YankArgs),
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Works on a built component of any language, or on a crate's folder, which is built first. What it is opened with stands in \
`conformance.yaml` beside it (docs/conformance.md); `--config` sets single keys. Ends with 5 if a clause is broken.

Examples:
  rapidbyte connector test                    The connector in this folder
  rapidbyte connector test source_jira.wasm --config url=http://localhost:8080
  rapidbyte connector test --clause resume-every-checkpoint
  rapidbyte connector test --clause faults-combined --seed 7
  rapidbyte connector test --report junit conformance.xml --certificate conformance.json
  rapidbyte connector test --record cassettes   What it exchanges with the network, to be replayed
  rapidbyte connector test --replay cassettes   The same without a network, faults included
  rapidbyte connector test --list             Every clause, with what it promises")]
pub struct TestArgs {
    /// A component, or a connector crate's folder
    #[arg(value_name = "PATH", default_value = ".")]
    pub path: PathBuf,
    #[command(flatten)]
    pub trial: TrialArgs,
    /// Show the clauses and test nothing
    #[arg(long)]
    pub list: bool,
    /// What random choices begin from; every report names it
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,
    /// Write a report, too: `junit` or `json`, and where to
    #[arg(long, num_args = 2, value_names = ["junit|json", "FILE"])]
    pub report: Option<Vec<String>>,
    /// Write a certificate for publishing: an in-toto test result about the component's digest
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    #[command(flatten)]
    pub cassettes: CassetteArgs,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Watches the connector's folder and the crates beside it that it is built from, except for what version control \
ignores. What is wrong stays on the screen until it is mended. A save that leaves the component, the fixture and \
the data in `fixtures/` as they were tests nothing again. Enter does it again, Ctrl-C ends.

Examples:
  rapidbyte connector dev                     Test the connector in this folder on each save
  rapidbyte connector dev --clause resume-every-checkpoint
  rapidbyte connector dev --run pipeline.yaml
  rapidbyte connector dev --replay fixtures/cassette
  rapidbyte connector dev --format json | jq -c '{cycle, outcome, seconds}'")]
pub struct DevArgs {
    /// The connector's folder
    #[arg(value_name = "PATH", default_value = ".")]
    pub path: PathBuf,
    /// Run this pipeline in place of the tests
    #[arg(long, value_name = "PIPELINE", conflicts_with_all = ["config", "config_file", "clauses"])]
    pub run: Option<PathBuf>,
    #[command(flatten)]
    pub trial: TrialArgs,
    /// Serve connectors from this recording instead of the network
    #[arg(long, value_name = "DIR")]
    pub replay: Option<PathBuf>,
}

/// What a connector is tested with, and against.
#[derive(Debug, ClapArgs)]
pub struct TrialArgs {
    /// A key of the connector's config, over the fixture's (may be given several times)
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = key_value)]
    pub config: Vec<(String, String)>,
    /// A fixture in place of the `conformance.yaml` beside the connector
    #[arg(long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Only this clause (may be given several times)
    #[arg(long = "clause", value_name = "NAME")]
    pub clauses: Vec<String>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    Junit,
    Json,
}

impl ReportFormat {
    pub fn parse(word: &str) -> Result<Self, Failure> {
        match word {
            "junit" => Ok(ReportFormat::Junit),
            "json" => Ok(ReportFormat::Json),
            _ => Err(Failure::usage("report_format", format!("`{word}` is no kind of report"))
                .hint("write `--report junit FILE` or `--report json FILE`")),
        }
    }
}

/// `key=value`; the value may hold anything.
fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write `key=value`".to_owned()),
    }
}

/// Reads the triple of a platform that connectors can be compiled for.
fn native_target() -> impl TypedValueParser<Value = NativeTarget> {
    PossibleValuesParser::new(NativeTarget::ALL.map(NativeTarget::triple))
        .try_map(|triple| NativeTarget::parse(&triple).ok_or("no such platform"))
}

#[derive(Debug, ClapArgs)]
pub struct ScaffoldArgs {
    /// What to call it: `source-…`, `dest-…` or `transform-…`
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What it is for; by default what its name begins with
    #[arg(long, value_enum, value_name = "ROLE")]
    pub role: Option<Role>,
    /// The language it is written in
    #[arg(long, value_enum, value_name = "LANGUAGE", default_value_t = Language::Rust)]
    pub lang: Language,
    /// The project's folder, new or empty [default: the name, in this folder]
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    Source,
    Destination,
    Transform,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    Rust,
    Python,
    #[value(alias = "javascript")]
    Js,
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::path::Path;

    use clap::CommandFactory;

    use super::Args;

    #[test]
    fn the_definitions_make_sense() {
        Args::command().debug_assert();
    }

    /// A command's help, and below it that of its verbs.
    fn describe(command: &mut clap::Command, path: &str, page: &mut String) {
        let help = command.render_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        let _ = write!(page, "\n## `{path}`\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
        for verb in command.get_subcommands_mut() {
            let path = format!("{path} {}", verb.get_name());
            describe(verb, &path, page);
        }
    }

    #[test]
    fn the_page_of_commands_is_up_to_date() {
        let mut page = String::from(
            "# Commands\n\n\
             <!-- Generated from `cli/src/args.rs`; `cargo test -p rapidbyte-cli page_of_commands` brings it up to date. -->\n\n\
             Results go to stdout, everything else to stderr. [Exit codes](exit-codes.md) say who must act.\n",
        );
        let mut command = Args::command().term_width(100);
        command.build();
        describe(&mut command, "rapidbyte", &mut page);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/commands.md");
        if std::fs::read_to_string(&path).unwrap_or_default() != page {
            std::fs::write(&path, page).expect("docs can be written");
            panic!("docs/commands.md was out of date; it is written anew, look at it and commit it");
        }
    }
}
