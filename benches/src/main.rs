//! `cargo xtask bench`: Postgres to Postgres against the limit, in one run, interleaved.
//!
//! Per round and table three ways of the same copy, each into a fresh target and each verified by content: `psql COPY
//! binary | psql COPY binary` (the limit: the server's own work), the connectors' logic compiled natively (so that the sandbox's
//! cost is a number), and `rapidbyte run` with sandboxed components. Wall and CPU are measured outside of the process under test,
//! the server's CPU apart. Medians and ratios are printed as a Markdown table, as `docs/performance.md` has it. Behind them come
//! what parts of the engine cost, start-up and size, what making a connector takes, and what installing takes.

mod contender;
mod engine;
mod measure;
mod packages;
mod startup;
mod table;
mod toolkit;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use contender::Contender;
use measure::{Sample, median};
use table::Table;
use xtask::postgres::{Durability, Server};

#[derive(Parser)]
struct Args {
    /// The `rapidbyte` binary to measure.
    #[arg(long)]
    binary: PathBuf,
    /// Folder with `source-postgres.wasm`, `dest-postgres.wasm`, `source-file.wasm`, `dest-file.wasm`, `transform-mask.wasm`,
    /// `transform-sql.wasm`.
    #[arg(long)]
    components: PathBuf,
    /// Rounds per table; figures are medians.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Divides the number of rows, for a quick look.
    #[arg(long, default_value_t = 1)]
    scale_down: u64,
    /// Internal: be the native contender for this pipeline description, and nothing else.
    #[arg(long, hide = true)]
    native: Option<String>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(description) = &args.native {
        return contender::native_main(description);
    }
    let server = Server::start(Durability::Ordinary).context("starting PostgreSQL")?;
    let work = tempfile::tempdir()?;
    println!("PostgreSQL {} with fsync on, {} rounds, medians\n", server.version()?, args.rounds);

    for table in Table::all(args.scale_down) {
        table.create(&server)?;
        let expected = table.fingerprint(&server, "public")?;
        let mut samples: Vec<Vec<Sample>> = Contender::ALL.iter().map(|_| Vec::new()).collect();
        // One unmeasured round warms the page cache, the compiled-code cache and the server's.
        for round in 0..=args.rounds {
            // The order turns from round to round, so that none always runs behind the same one.
            for turn in 0..Contender::ALL.len() {
                let index = (turn + round) % Contender::ALL.len();
                let contender = Contender::ALL[index];
                table.prepare_target(&server, contender)?;
                server.sql("postgres", "CHECKPOINT")?;
                let sample = contender.run(&server, &table, &args, work.path())?;
                let found = table.fingerprint(&server, "target")?;
                ensure!(
                    found == expected,
                    "{} copied `{}` wrongly: {found} for {expected}",
                    contender.name(),
                    table.name
                );
                if round > 0 {
                    samples[index].push(sample);
                }
            }
        }
        report(&table, &samples);
        table.drop_source(&server)?;
    }
    engine::report(&args, &server, work.path())?;
    startup::report(&args, work.path())?;
    println!();
    toolkit::report(&args, &server, &repository()?, work.path())?;
    packages::report(&args, &repository()?, work.path())
}

/// Where the connectors' own fixtures are.
fn repository() -> Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(Into::into).context("the benches lie in the repository")
}

fn report(table: &Table, samples: &[Vec<Sample>]) {
    println!("### `{}`: {} rows × {} columns\n", table.name, table.rows, table.columns.len());
    println!("| way | wall s | × limit | client CPU s | server CPU s | peak MB |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    let limit = median(samples[0].iter().map(|sample| sample.wall_seconds));
    for (contender, samples) in Contender::ALL.iter().zip(samples) {
        let wall = median(samples.iter().map(|sample| sample.wall_seconds));
        println!(
            "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {} |",
            contender.name(),
            wall,
            wall / limit,
            median(samples.iter().map(|sample| sample.client_cpu_seconds)),
            median(samples.iter().map(|sample| sample.server_cpu_seconds)),
            samples
                .iter()
                .filter_map(|sample| sample.peak_bytes)
                .max()
                .map_or("–".to_owned(), |bytes| format!("{:.0}", bytes as f64 / 1e6)),
        );
    }
    println!();
}
