//! Arguments of `query`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Asks what pipelines with `cache: { enabled: true }` have synced, in SQL. A stream is a table of its name; where two pipelines \
have it, `\"pipeline\".\"stream\"`. Nothing but the cache can be read, and nothing written. `--format` also takes `table`, \
`csv` and `parquet` here.

In a session, `\\tables` lists what there is, `\\d TABLE` its columns, `\\q` ends it; a statement ends with `;`.

Examples:
  rapidbyte query \"SELECT status, count(*) FROM orders GROUP BY status\"
  rapidbyte query \"SELECT * FROM orders\" --format csv > orders.csv
  rapidbyte query \"SELECT * FROM orders\" --format parquet --output orders.parquet
  rapidbyte query --interactive")]
pub struct QueryArgs {
    /// One SELECT
    #[arg(value_name = "SQL", required_unless_present = "interactive", conflicts_with = "interactive")]
    pub sql: Option<String>,
    /// Ask one question after the other
    #[arg(long, short)]
    pub interactive: bool,
    /// The cache's folder [default: the workspace's, else the user's]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Where the answer is written [default: stdout]
    #[arg(long, short, value_name = "FILE", conflicts_with = "interactive")]
    pub output: Option<PathBuf>,
}
