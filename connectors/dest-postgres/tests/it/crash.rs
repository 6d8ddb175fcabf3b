//! The connection cut at seeded points of a run, in both directions, and the run repeated until it ends: the table holds
//! exactly the source's rows, whatever was cut; it is altered with the first rows or not at all; and every refused record
//! is handed over once.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use dest_postgres::DestPostgres;
use rapidbyte_sdk::arrow::array::cast::AsArray;
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{TestHost, block_on};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::evolve::USUAL;
use crate::harness::{Database, cursor, people, people_stream};

/// Rows of the source, and how many lie between two checkpoints.
const ROWS: i64 = 24;
const STEP: i64 = 6;
const CUTS_PER_MODE: u64 = 30;
const CUTS_PER_CASE: u64 = 16;

/// What is written into what.
#[derive(Debug, Clone, Copy)]
struct Case {
    mode: WriteMode,
    /// Makes what is there before, in the schema `raw`.
    setup: &'static str,
    policies: Policies,
    /// Numbers of the rows that the table refuses.
    refused: &'static [i64],
    /// It is the second of two partitions, and the first has ended.
    shares: bool,
    cuts: u64,
}

impl Case {
    fn of(mode: WriteMode) -> Self {
        Case {
            mode,
            setup: "",
            policies: Policies::default(),
            refused: &[],
            shares: false,
            cuts: CUTS_PER_MODE,
        }
    }
}

/// Where the proxy cuts.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Never,
    /// Behind so many bytes from the client: what follows never reaches the server.
    Request(u64),
    /// Behind so many bytes from the client the answers stop: the server works, the client never hears of it.
    Answer(u64),
}

/// Passes one connection on to the server. Answers how many bytes the client had sent.
async fn proxy(
    listener: TcpListener,
    server_port: u16,
    cut: Cut,
    passed: Rc<RefCell<u64>>,
) -> std::io::Result<()> {
    let (client, _) = listener.accept().await?;
    let server = TcpStream::connect(("127.0.0.1", server_port)).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let deaf = Rc::new(RefCell::new(false));
    let answers = {
        let deaf = deaf.clone();
        async move {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let bytes = from_server.read(&mut buffer).await?;
                if bytes == 0 || *deaf.borrow() {
                    return Ok::<(), std::io::Error>(());
                }
                to_client.write_all(&buffer[..bytes]).await?;
            }
        }
    };
    let requests = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let bytes = from_client.read(&mut buffer).await?;
            if bytes == 0 {
                return Ok::<(), std::io::Error>(());
            }
            let before = *passed.borrow();
            *passed.borrow_mut() += bytes as u64;
            match cut {
                Cut::Request(at) if before + bytes as u64 > at => {
                    to_server.write_all(&buffer[..at.saturating_sub(before) as usize]).await?;
                    return Ok(());
                }
                Cut::Answer(at) if before + bytes as u64 > at => {
                    *deaf.borrow_mut() = true;
                    to_server.write_all(&buffer[..bytes]).await?;
                }
                _ => to_server.write_all(&buffer[..bytes]).await?,
            }
        }
    };
    tokio::select! { result = answers => result, result = requests => result }
}

impl Case {
    fn context(self, partition: u32) -> StreamContext {
        let mut context = people_stream(self.mode);
        context.policies = self.policies;
        if self.shares {
            context.partition = Partition { index: partition, count: 2, ..Partition::WHOLE };
        }
        context
    }
}

/// A value for a row; upserts see each key twice.
fn row(number: i64, mode: WriteMode) -> (i64, String) {
    let key = if mode == WriteMode::Upsert { number % (ROWS / 2) } else { number };
    (key, format!("row {number}"))
}

/// Feeds what a source would emit behind `position`.
fn feed(host: &TestHost, position: i64, mode: WriteMode) {
    for start in (position..ROWS).step_by(STEP as usize) {
        let rows: Vec<(i64, String)> = (start..start + STEP).map(|number| row(number, mode)).collect();
        let rows: Vec<(i64, &str)> = rows.iter().map(|(key, name)| (*key, name.as_str())).collect();
        host.feed_batch(&people(&rows));
        host.feed_checkpoint(cursor(start + STEP));
    }
    host.feed_end();
}

/// Id, position and completeness of the case's receipt, once no session of an earlier run is left.
fn receipt(database: &Database, case: Case) -> (u64, i64, bool) {
    while database.query(&format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'rapidbyte dest%' AND datname = '{}'",
        database.name
    )) != "0"
    {
        std::thread::sleep(Duration::from_millis(5));
    }
    if database.query("SELECT to_regclass('raw._rapidbyte_receipts') IS NULL") == "t" {
        return (0, 0, false);
    }
    let text = database.query(&format!(
        "SELECT checkpoint_id, cursor_value, complete FROM raw._rapidbyte_receipts WHERE partition_index = {}",
        u32::from(case.shares)
    ));
    let mut parts = text.split('|');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    (next().parse().unwrap_or(0), next().parse().unwrap_or(0), next() == "t")
}

/// What came of one run.
struct Attempt {
    result: Result<RunSummary, ConnectorError>,
    /// The last checkpoint it knows to be durable.
    confirmed: Option<u64>,
    bytes_sent: u64,
    /// Numbers of the rows that it handed over as refused.
    letters: Vec<i64>,
}

/// One run through the proxy.
fn attempt(database: &Database, case: Case, cut: Cut) -> Attempt {
    let (last_id, position, complete) = receipt(database, case);
    assert!(!complete, "a complete stream is not run again");
    let host = TestHost::new();
    host.set_last_checkpoint_id(last_id);
    feed(&host, position, case.mode);
    let passed = Rc::new(RefCell::new(0));
    let context = case.context(u32::from(case.shares));
    let result = block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = database.config();
        config["port"] = listener.local_addr().unwrap().port().into();
        tokio::task::spawn_local(proxy(listener, database.server.port(), cut, passed.clone()));
        let mut session = host.destination::<DestPostgres>(config).await?;
        session.run(RunRequest::write(context)).await
    });
    let confirmed = host.committed_checkpoints().last().map(|checkpoint| checkpoint.id);
    let bytes_sent = *passed.borrow();
    let mut letters = Vec::new();
    for (records, _) in host.dead_letters() {
        let names = records.column(1).as_string::<i32>();
        letters
            .extend(names.iter().flatten().filter_map(|name| name.strip_prefix("row ")?.parse::<i64>().ok()));
    }
    Attempt { result, confirmed, bytes_sent, letters }
}

fn expected(case: Case) -> Vec<String> {
    let mut rows: std::collections::BTreeMap<i64, String> = std::collections::BTreeMap::new();
    let written = (0..ROWS).filter(|number| !case.refused.contains(number));
    for (key, name) in written.map(|number| row(number, case.mode)) {
        rows.insert(key, name);
    }
    let mut texts: Vec<String> = rows.into_iter().map(|(key, name)| format!("({key},\"{name}\")")).collect();
    texts.sort();
    texts
}

/// A generator of cut points that a seed replays.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn survives_cuts(case: Case) {
    let seed =
        std::env::var("RAPIDBYTE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    let mut random: u64 = seed;
    let database = Database::new();
    let set_up = || {
        database.clear();
        database.run(&format!("CREATE SCHEMA raw; {}", case.setup));
        if case.shares {
            let (result, _) = database.write(&case.context(0), |host| {
                host.feed_end();
            });
            result.unwrap();
        }
    };
    let rows = || database.query("SELECT (id, name)::text FROM raw.people WHERE id >= 0 ORDER BY 1");
    let columns = || {
        database.query(
            "SELECT array_agg(ROW(attname, atttypid, attnotnull) ORDER BY attnum) FROM pg_attribute \
             WHERE attrelid = to_regclass('raw.people') AND attnum > 0 AND NOT attisdropped",
        )
    };
    set_up();
    let before = columns();
    let whole = attempt(&database, case, Cut::Never);
    whole.result.unwrap();
    assert_eq!(rows().lines().collect::<Vec<_>>(), expected(case));
    assert_eq!(whole.letters, case.refused);
    let after = columns();
    for number in 0..case.cuts {
        let at = next_random(&mut random) % whole.bytes_sent;
        let cut = if number % 2 == 0 { Cut::Request(at) } else { Cut::Answer(at) };
        let label = format!("{case:?}, seed {seed}, cut {number}: {cut:?} of {}", whole.bytes_sent);
        set_up();
        let first = attempt(&database, case, cut);
        let (id, _, complete) = receipt(&database, case);
        if let Err(error) = &first.result {
            assert!(error.retryable, "{label}: {error:?}");
            let confirmed = first.confirmed.unwrap_or(0);
            match error.commit {
                Some(CommitState::AfterCommitUnknown) => {
                    assert!(id == confirmed || id == confirmed + 1, "{label}: {id} after {confirmed}");
                }
                _ => assert_eq!(id, confirmed, "{label}: {error:?}"),
            }
        }
        let committed = if case.mode == WriteMode::Replace { complete } else { id > 0 };
        if !case.setup.is_empty() {
            assert_eq!(columns(), if committed { after.clone() } else { before.clone() }, "{label}");
        }
        if case.mode == WriteMode::Replace && !complete && !case.setup.is_empty() {
            assert_eq!(database.query("SELECT id FROM raw.people"), "-1", "{label}");
        }
        // A dead letter counts once a checkpoint behind it is committed.
        let covered = |row: &i64| row / STEP < id as i64;
        let mut letters: Vec<i64> = first.letters.into_iter().filter(covered).collect();
        if !complete {
            let again = attempt(&database, case, Cut::Never);
            again.result.unwrap_or_else(|error| panic!("{label}: {error:?}"));
            letters.extend(again.letters);
        }
        assert_eq!(letters, case.refused, "{label}");
        assert_eq!(rows().lines().collect::<Vec<_>>(), expected(case), "{label}");
        assert_eq!(database.leftovers(), "", "{label}");
    }
}

#[test]
fn append_survives_cuts() {
    survives_cuts(Case::of(WriteMode::Append));
}

#[test]
fn upsert_survives_cuts() {
    survives_cuts(Case::of(WriteMode::Upsert));
}

#[test]
fn replace_survives_cuts() {
    let setup =
        "CREATE TABLE raw.people (id int8 NOT NULL, name text); INSERT INTO raw.people VALUES (-1, 'old')";
    survives_cuts(Case { setup, ..Case::of(WriteMode::Replace) });
}

/// A column widens, one is new, one gets no more values.
const EVOLVING: &str = "CREATE TABLE raw.people (id int4 NOT NULL PRIMARY KEY, gone text NOT NULL); \
    INSERT INTO raw.people VALUES (-1, 'old')";

#[test]
fn an_append_that_alters_the_table_survives_cuts() {
    let case = Case { setup: EVOLVING, policies: USUAL, cuts: CUTS_PER_CASE, ..Case::of(WriteMode::Append) };
    survives_cuts(case);
}

#[test]
fn a_replace_that_alters_the_table_survives_cuts() {
    let case = Case { setup: EVOLVING, policies: USUAL, cuts: CUTS_PER_CASE, ..Case::of(WriteMode::Replace) };
    survives_cuts(case);
}

#[test]
fn the_last_partition_of_a_replace_survives_cuts() {
    survives_cuts(Case {
        setup: EVOLVING,
        policies: USUAL,
        shares: true,
        cuts: CUTS_PER_CASE,
        ..Case::of(WriteMode::Replace)
    });
}

#[test]
fn an_upsert_that_alters_the_table_and_refuses_rows_survives_cuts() {
    let setup = "CREATE TABLE raw.people (id int4 NOT NULL PRIMARY KEY, gone text NOT NULL, name text \
        CHECK (name NOT IN ('row 0', 'row 7', 'row 8', 'row 23'))); INSERT INTO raw.people VALUES (-1, 'old', '')";
    survives_cuts(Case {
        setup,
        policies: Policies { on_data_error: DataErrorPolicy::Dlq, ..USUAL },
        refused: &[0, 7, 8, 23],
        cuts: CUTS_PER_CASE,
        ..Case::of(WriteMode::Upsert)
    });
}
