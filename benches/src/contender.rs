//! The three ways to copy a table, each as a child process that can be measured from outside.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use dest_postgres::DestPostgres;
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{self, PipeBounds};
use serde_json::{Value, json};
use source_postgres::SourcePostgres;
use xtask::postgres::{PASSWORD, Server, USER};

use crate::Args;
use crate::measure::{Sample, measure};
use crate::table::{DATABASE, Table};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    Psql,
    Native,
    Rapidbyte,
}

impl Contender {
    /// The limit comes first.
    pub const ALL: [Contender; 3] = [Contender::Psql, Contender::Native, Contender::Rapidbyte];

    pub fn name(self) -> &'static str {
        match self {
            Contender::Psql => "`psql COPY binary \\| psql COPY binary` (the limit)",
            Contender::Native => "the connectors compiled natively",
            Contender::Rapidbyte => "`rapidbyte run`, sandboxed",
        }
    }

    pub fn run(self, server: &Server, table: &Table, args: &Args, work: &Path) -> Result<Sample> {
        match self {
            Contender::Psql => psql(server, table),
            Contender::Native => native(server, table),
            Contender::Rapidbyte => rapidbyte(server, table, args, work),
        }
    }
}

fn psql(server: &Server, table: &Table) -> Result<Sample> {
    // The shell that joins them is the one child; `pipefail` so that a failing reader is seen.
    let program = server.program("psql");
    let psql = format!("{} --no-psqlrc --quiet --dbname {DATABASE}", program.get_program().display());
    let mut command = Command::new("bash");
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    // Over TCP like the others: the socket is part of the work.
    command.env("PGHOST", server.host()).env("PGPASSWORD", PASSWORD);
    command.arg("-o").arg("pipefail").arg("-c").arg(format!(
        "{psql} -c 'COPY public.{name} TO STDOUT (FORMAT binary)' | {psql} -c 'COPY target.{name} FROM STDIN (FORMAT binary)'",
        name = table.name
    ));
    measure(server, &mut command, |_| None)
}

fn native(server: &Server, table: &Table) -> Result<Sample> {
    let description = json!({
        "stream": table.name,
        "source": connection(server, "public"),
        "destination": connection(server, "target"),
    });
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--binary", "-", "--components", "-", "--native", &description.to_string()]);
    measure(server, &mut command, |stdout| stdout.trim().parse().ok())
}

fn rapidbyte(server: &Server, table: &Table, args: &Args, work: &Path) -> Result<Sample> {
    run(server, &document(server, table, args), args, work, &[])
}

/// The pipeline that copies the table, its streams read whole and appended.
pub fn document(server: &Server, table: &Table, args: &Args) -> Value {
    json!({
        "version": "1.0",
        "pipeline": "bench",
        "source": {
            "use": args.components.join("source-postgres.wasm"),
            "config": connection(server, "public"),
            "streams": [{ "name": table.name, "sync_mode": "full_refresh" }],
        },
        "destination": {
            "use": args.components.join("dest-postgres.wasm"),
            "config": connection(server, "target"),
            "write_mode": "append",
        },
    })
}

/// Runs a pipeline that nobody has run before.
pub fn run(
    server: &Server,
    document: &Value,
    args: &Args,
    work: &Path,
    variables: &[(&str, String)],
) -> Result<Sample> {
    let folder = work.join("run");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let pipeline = folder.join("pipeline.yaml");
    let mut document = document.clone();
    if document["state"].is_null() {
        document["state"] = json!({ "backend": "sqlite", "path": "state.db" });
    }
    std::fs::write(&pipeline, serde_json::to_string_pretty(&document)?)?;
    let mut command = Command::new(&args.binary);
    command.args(["run", "--format", "json"]).arg(&pipeline).env("RAPIDBYTE_HOME", work.join("home"));
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    measure(server, &mut command, |stdout| {
        serde_json::from_str::<Value>(stdout).ok()?["memory_peak_bytes"].as_u64()
    })
}

/// The connectors' config, the same for both ways through Rapidbyte.
fn connection(server: &Server, schema: &str) -> Value {
    json!({
        "host": server.host(),
        "port": server.port(),
        "user": USER,
        "password": PASSWORD,
        "database": DATABASE,
        "schema": schema,
    })
}

/// The native contender: source and destination, each on a thread of its own as each would be in its own sandbox, joined by
/// the same frames. Prints its peak memory.
pub fn native_main(description: &str) -> Result<()> {
    let description: Value = serde_json::from_str(description)?;
    let name = description["stream"].as_str().context("a stream")?.to_owned();
    let (upstream, downstream) = testing::pipe(PipeBounds::default());
    let mut source = testing::block_on(upstream.source::<SourcePostgres>(description["source"].clone()))?;
    let catalog = testing::block_on(source.run(RunRequest::discover()))?.catalog.context("a catalog")?;
    let found = catalog
        .streams
        .into_iter()
        .find(|stream| stream.name == name)
        .context("the stream in the catalog")?;
    let mut stream = StreamContext::new(&name, found.schema);
    stream.write =
        Some(WritePlan { mode: WriteMode::Append, primary_key: Vec::new(), update_columns: Vec::new() });
    let write = RunRequest::write(stream.clone());
    drop(source);

    let config = description["source"].clone();
    let reading = std::thread::spawn(move || {
        testing::block_on(async {
            let mut source = upstream.source::<SourcePostgres>(config).await?;
            source.run(RunRequest::read(stream)).await
        })
    });
    testing::block_on(async {
        let mut destination =
            downstream.destination::<DestPostgres>(description["destination"].clone()).await?;
        destination.run(write).await
    })?;
    reading.join().map_err(|_| anyhow::anyhow!("the source panicked"))??;
    println!("{}", peak_memory_bytes()?);
    Ok(())
}

fn peak_memory_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM in /proc/self/status")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}
