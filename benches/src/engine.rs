//! What the engine's parts cost: one copy of one table, with one part after the other added to it, against the same copy
//! without. Every way leaves the same content, which is verified.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use xtask::postgres::{PASSWORD, Server, USER};

use crate::Args;
use crate::contender::{Contender, document, run};
use crate::measure::{Sample, median};
use crate::table::{DATABASE, Table};

/// What is said in the document, or in the environment, beside the plain copy.
struct Part {
    name: &'static str,
    add: fn(&mut Value, &Bench),
    variables: fn(&Bench) -> Vec<(&'static str, String)>,
}

struct Bench<'a> {
    server: &'a Server,
    args: &'a Args,
    collector: u16,
}

const PARTS: &[Part] = &[
    Part { name: "nothing: one reading, appended", add: |_, _| {}, variables: none },
    Part { name: "read in 2 partitions", add: |document, _| partitions(document, 2), variables: none },
    Part { name: "read in 4 partitions", add: |document, _| partitions(document, 4), variables: none },
    Part {
        name: "operations in the host: `filter`, `add_column`, `drop_columns`",
        add: |document, _| {
            document["transforms"] = json!([{ "operations": [
                { "filter": "id > 0 AND name LIKE 'customer%'" },
                { "add_column": { "name": "scaled", "expression": "CAST(amount AS DOUBLE) / 100.0 + score" } },
                { "drop_columns": ["scaled"] },
            ] }]);
        },
        variables: none,
    },
    Part {
        name: "the same `filter` in the component `transform-sql`",
        add: |document, bench| {
            document["transforms"] = json!([{
                "use": bench.args.components.join("transform-sql.wasm"),
                "config": { "query": "SELECT * FROM input WHERE id > 0 AND name LIKE 'customer%'" },
            }]);
        },
        variables: none,
    },
    Part {
        name: "a contract: 3 required columns, 3 rules",
        add: |document, _| {
            document["contracts"] = json!([{
                "stream": "wide",
                "required_columns": [{ "name": "id", "type": "Int64" }, { "name": "name" }, { "name": "created" }],
                "column_rules": [
                    { "column": "id", "check": "value > 0" },
                    { "column": "email", "check": "value LIKE '%@%'" },
                    { "column": "score", "check": "value >= 0" },
                ],
                "on_violation": "fail",
            }]);
        },
        variables: none,
    },
    Part {
        name: "dead letters (`on_data_error: dlq`), nothing refused",
        add: |document, _| {
            document["destination"]["on_data_error"] = "dlq".into();
            document["destination"]["dlq_table"] = "dead".into();
        },
        variables: none,
    },
    Part {
        name: "the state in PostgreSQL instead of SQLite",
        add: |document, bench| {
            let (host, port) = (bench.server.host(), bench.server.port());
            let connection = format!("postgres://{USER}:{PASSWORD}@{host}:{port}/{DATABASE}?sslmode=disable");
            document["state"] = json!({ "backend": "postgres", "connection": connection });
        },
        variables: none,
    },
    Part {
        name: "traces, metrics and logs to a collector",
        add: |_, _| {},
        variables: |bench| {
            vec![("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", bench.collector))]
        },
    },
    Part {
        name: "a copy in the local Parquet cache",
        add: |document, _| document["cache"] = json!({ "enabled": true, "path": "cache" }),
        variables: none,
    },
];

fn none(_: &Bench) -> Vec<(&'static str, String)> {
    Vec::new()
}

fn partitions(document: &mut Value, count: u32) {
    document["source"]["streams"][0]["partitions"] = count.into();
    document["source"]["streams"][0]["partition_key"] = "id".into();
    document["resources"] = json!({ "parallelism": count });
}

pub fn report(args: &Args, server: &Server, work: &Path) -> Result<()> {
    let table = Table::wide(args.scale_down);
    table.create(server)?;
    let expected = table.fingerprint(server, "public")?;
    let bench = Bench { server, args, collector: collector()? };
    let mut plain = document(server, &table, args);
    plain["source"]["streams"][0]["partitions"] = 1.into();
    let mut samples: Vec<Vec<Sample>> = PARTS.iter().map(|_| Vec::new()).collect();
    for round in 0..=args.rounds {
        for turn in 0..PARTS.len() {
            let index = (turn + round) % PARTS.len();
            let part = &PARTS[index];
            let mut document = plain.clone();
            (part.add)(&mut document, &bench);
            table.prepare_target(server, Contender::Rapidbyte)?;
            server.sql(DATABASE, "DROP SCHEMA IF EXISTS rapidbyte CASCADE")?;
            server.sql("postgres", "CHECKPOINT")?;
            let sample = run(server, &document, args, work, &(part.variables)(&bench))?;
            let found = table.fingerprint(server, "target")?;
            ensure!(found == expected, "{}: {found} for {expected}", part.name);
            if round > 0 {
                samples[index].push(sample);
            }
        }
    }
    println!("### What parts of the engine cost: `{}`, {} rows\n", table.name, table.rows);
    println!("| added | wall s | × without | client CPU s | peak MB |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let wall = |samples: &[Sample]| median(samples.iter().map(|sample| sample.wall_seconds));
    for (part, samples_of) in PARTS.iter().zip(&samples) {
        println!(
            "| {} | {:.2} | {:.2} | {:.2} | {:.0} |",
            part.name,
            wall(samples_of),
            wall(samples_of) / wall(&samples[0]),
            median(samples_of.iter().map(|sample| sample.client_cpu_seconds)),
            peak_megabytes(samples_of),
        );
    }
    println!();
    table.drop_source(server)?;
    flat(args, server, work)
}

/// Whether memory grows with what is copied.
fn flat(args: &Args, server: &Server, work: &Path) -> Result<()> {
    println!("### Memory of a long copy\n");
    println!("| rows of `narrow` | wall s | peak MB |\n| ---: | ---: | ---: |");
    for rows in [2_000_000, 20_000_000] {
        let table = Table::narrow(rows / args.scale_down);
        table.create(server)?;
        let expected = table.fingerprint(server, "public")?;
        let sample = run(server, &document(server, &table, args), args, work, &[])?;
        let found = table.fingerprint(server, "target")?;
        ensure!(found == expected, "{} rows: {found} for {expected}", table.rows);
        let wall = sample.wall_seconds;
        println!("| {} | {wall:.2} | {:.0} |", table.rows, peak_megabytes(&[sample]));
        table.drop_source(server)?;
    }
    println!();
    Ok(())
}

fn peak_megabytes(samples: &[Sample]) -> f64 {
    samples.iter().filter_map(|sample| sample.peak_bytes).max().unwrap_or(0) as f64 / 1e6
}

/// An OTLP collector that takes everything and keeps nothing, as long as this process lives; answers its port.
fn collector() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(|| take(stream));
        }
    });
    Ok(port)
}

/// Takes requests with `content-length` until the client goes.
fn take(mut stream: TcpStream) -> Option<()> {
    let mut buffer = Vec::new();
    let mut chunk = [0; 1 << 16];
    loop {
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            match stream.read(&mut chunk).ok()? {
                0 => return None,
                read => buffer.extend_from_slice(&chunk[..read]),
            }
        };
        let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))?
            .trim()
            .parse::<usize>()
            .ok()?;
        while buffer.len() < head + length {
            match stream.read(&mut chunk).ok()? {
                0 => return None,
                read => buffer.extend_from_slice(&chunk[..read]),
            }
        }
        buffer.drain(..head + length);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).ok()?;
    }
}
