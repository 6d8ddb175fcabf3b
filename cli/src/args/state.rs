//! `rapidbyte state` and `rapidbyte dlq`: what is remembered between runs, and what could not go on.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use rapidbyte_host::core::ports::RunStatus;

use super::connectors::PackageArgs;

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
    /// List the runs that the state remembers, the newest first
    #[command(after_help = "\
Examples:
  rapidbyte state runs pipelines/orders.yaml --status failed
  rapidbyte state runs pipelines/orders.yaml --all --limit 100 --format json | jq '.runs[].error'")]
    Runs(RunsArgs),
    /// Write the whole state, of all pipelines in it, to a file
    #[command(after_help = "\
The file is JSON in lines (docs/state.md): positions with the types of their cursors, history, connectors' own state and \
dead letters. It holds data of your systems; keep it as carefully as those. Runs may go on meanwhile.

Examples:
  rapidbyte state export pipelines/orders.yaml --output state.jsonl
  rapidbyte state export pipelines/orders.yaml | gzip > state.jsonl.gz")]
    Export {
        /// A pipeline document whose state it is
        pipeline: PathBuf,
        /// The file to write, replaced if it is there; without it, standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Read an exported state
    #[command(after_help = "\
All of it or nothing. Refused while anything runs.

Examples:
  rapidbyte state import pipelines/orders.yaml state.jsonl
  gunzip -c state.jsonl.gz | rapidbyte state import pipelines/orders.yaml -")]
    Import {
        /// A pipeline document whose state it becomes
        pipeline: PathBuf,
        /// The exported state; `-` for standard input
        exported: PathBuf,
        /// Replace everything that the state holds
        #[arg(long)]
        overwrite: bool,
    },
    /// Copy the whole state, of all pipelines in it, to another file or server
    #[command(after_help = "\
The documents say where state is looked for: change their `state:` afterwards. Refused while anything runs in either place.

Examples:
  rapidbyte state migrate pipelines/orders.yaml --to env:STATE_DATABASE_URL
  rapidbyte state migrate pipelines/orders.yaml --to backup/state.db")]
    Migrate {
        /// A pipeline document whose state is copied
        pipeline: PathBuf,
        /// Where to: a SQLite file, `postgresql://…`, or `env:NAME` for a variable that holds such an address
        #[arg(long, value_name = "PLACE")]
        to: String,
        /// Replace everything that is there
        #[arg(long)]
        overwrite: bool,
    },
}

#[derive(Debug, Args)]
pub struct RunsArgs {
    /// A pipeline document whose state it is
    pub document: PathBuf,
    /// Of this pipeline in the same state, instead of the document's
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub pipeline: Option<String>,
    /// Of every pipeline in the state
    #[arg(long)]
    pub all: bool,
    /// Of this stream only
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<String>,
    /// Which ended so only
    #[arg(long, value_name = "STATUS")]
    pub status: Option<Status>,
    /// How many
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub limit: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Status {
    Running,
    Succeeded,
    Failed,
    Stopped,
    Crashed,
}

impl From<Status> for RunStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Running => RunStatus::Running,
            Status::Succeeded => RunStatus::Succeeded,
            Status::Failed => RunStatus::Failed,
            Status::Stopped => RunStatus::Stopped,
            Status::Crashed => RunStatus::Crashed,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// Count the dead letters of a pipeline by stream, origin and code
    #[command(after_help = "\
Examples:
  rapidbyte dlq list pipelines/orders.yaml")]
    List {
        /// The pipeline document
        pipeline: PathBuf,
    },
    /// Show dead letters: the records, what was wrong with each, where and when
    #[command(after_help = "\
Examples:
  rapidbyte dlq show pipelines/orders.yaml --stream orders --limit 5
  rapidbyte dlq show pipelines/orders.yaml --code 22P02 --format json | jq '.records[].record'")]
    Show(ShowArgs),
    /// Write the records of dead letters once more, from the place that refused them on
    #[command(after_help = "\
What is written is forgotten; what is refused again stays. Under `upsert` and `merge` a record replaces what was written \
since. Records that the source itself refused are read again by a run, not replayed.

Examples:
  rapidbyte dlq replay pipelines/orders.yaml
  rapidbyte dlq replay pipelines/orders.yaml --stream orders")]
    Replay(ReplayArgs),
    /// Forget dead letters, once they are dealt with
    #[command(after_help = "\
Examples:
  rapidbyte dlq forget pipelines/orders.yaml --stream orders
  rapidbyte dlq forget pipelines/orders.yaml --all")]
    #[command(group = clap::ArgGroup::new("which").required(true))]
    Forget {
        /// The pipeline document
        pipeline: PathBuf,
        /// Those of this stream
        #[arg(long, value_name = "STREAM", group = "which")]
        stream: Option<String>,
        /// Those of every stream of the pipeline
        #[arg(long, group = "which")]
        all: bool,
    },
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The pipeline document
    pub pipeline: PathBuf,
    /// Those of this stream only
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<String>,
    #[command(flatten)]
    pub packages: PackageArgs,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The pipeline document
    pub pipeline: PathBuf,
    /// Of this stream only
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<String>,
    /// Of this origin only: `source`, `transform:0`, `contract`, `destination`
    #[arg(long, value_name = "ORIGIN")]
    pub origin: Option<String>,
    /// With this error code only
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,
    /// How many records, the oldest first
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub limit: u64,
}
