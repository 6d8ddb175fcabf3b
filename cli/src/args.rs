//! The command line as types. What they mean together with the environment is decided in `settings`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// Data ingestion in one binary: pipelines of sandboxed WebAssembly connectors
#[derive(Debug, Parser)]
#[command(name = "rapidbyte", version, disable_help_subcommand = true)]
#[command(after_help = "\
Examples:
  rapidbyte run pipelines/orders.yaml         Move what is new
  rapidbyte check pipelines/orders.yaml       Find out what is wrong before anything moves
  rapidbyte schema discover pipelines/orders.yaml
  rapidbyte connector scaffold --name source-jira
  rapidbyte connector build connectors/source-jira

Environment:
  RAPIDBYTE_HOME        Where state and compiled connectors are kept [default: ~/.rapidbyte]
  RAPIDBYTE_LOG         What is logged, by level and part: `info`, `warn,rapidbyte_engine=debug`
  RAPIDBYTE_LOG_FORMAT  `human` or `json`
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Execute a pipeline, or every pipeline of a folder
    Run(RunArgs),
    /// Check a pipeline from document to connectivity; nothing moves
    Check(CheckArgs),
    /// What a pipeline's source offers
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Make connectors
    #[command(subcommand)]
    Connector(ConnectorCommand),
    /// What is remembered between runs
    #[command(subcommand)]
    State(StateCommand),
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Connectors that the pipeline names by path are built first; unchanged ones are not built again. \
Ctrl-C ends the run cleanly at the next checkpoint, a second Ctrl-C at once. Either way the next run \
goes on where this one ended.

Examples:
  rapidbyte run pipelines/orders.yaml
  rapidbyte run pipelines/                    Every .yaml and .yml file in it
  rapidbyte run pipelines/orders.yaml --stream orders --stream items
  rapidbyte run pipelines/orders.yaml --format json | jq .memory_peak_bytes")]
pub struct RunArgs {
    /// The pipeline document, or a folder of them
    #[arg(value_name = "PIPELINE|DIR")]
    pub pipeline: PathBuf,
    /// Only this stream (may be given several times)
    #[arg(long = "stream", value_name = "STREAM")]
    pub streams: Vec<String>,
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
    },
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
    /// Build a connector crate to a WebAssembly component and compile that for this machine
    #[command(after_help = "\
The component with its manifest inside is named on stdout. It runs on any machine: name it under `use:`.

Examples:
  rapidbyte connector build                   The crate in this folder
  rapidbyte connector build connectors/source-jira
  rapidbyte connector build --debug           Quicker to build, slower to run")]
    Build {
        /// The crate's folder
        #[arg(value_name = "PATH", default_value = ".")]
        path: PathBuf,
        /// Build with Cargo's release profile (this is the default)
        #[arg(long, conflicts_with = "debug")]
        release: bool,
        /// Build with Cargo's dev profile
        #[arg(long)]
        debug: bool,
    },
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
}

#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// Show the saved position of every stream and the last runs
    #[command(after_help = "\
Examples:
  rapidbyte state show pipelines/orders.yaml
  rapidbyte state show pipelines/orders.yaml --format json | jq '.positions'")]
    Show {
        /// The pipeline document
        pipeline: PathBuf,
        /// How many of the last runs
        #[arg(long, value_name = "COUNT", default_value_t = 10)]
        runs: u32,
    },
    /// Forget positions, so that the next run reads from the beginning
    #[command(after_help = "\
What is at the destination stays there: with write mode `append`, what was moved is moved again.

Examples:
  rapidbyte state reset pipelines/orders.yaml --stream orders
  rapidbyte state reset pipelines/orders.yaml --all")]
    #[command(group = clap::ArgGroup::new("which").required(true))]
    Reset {
        /// The pipeline document
        pipeline: PathBuf,
        /// The stream to forget
        #[arg(long, value_name = "STREAM", group = "which")]
        stream: Option<String>,
        /// Forget every stream of the pipeline
        #[arg(long, group = "which")]
        all: bool,
    },
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
