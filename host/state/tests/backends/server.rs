//! What a server does to its clients: it restarts, closes connections, loses answers, holds other people's tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rapidbyte_core::dead_letter::DeadLetterFilter;
use rapidbyte_core::ports::{RunStatus, StateError, StateStore};
use rapidbyte_state::PostgresStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use xtask::postgres::{Durability, PASSWORD, Server, Shutdown, USER};

use crate::support::{connection, counters, database, key, letters, mark, shared_server};

async fn open(server: &Server, database: &str) -> PostgresStore {
    PostgresStore::open(&connection(server, database)).await.unwrap()
}

#[tokio::test]
async fn a_server_that_restarts_in_the_middle_is_waited_for() {
    let mut server = Server::start_with(Durability::Relaxed, &[("shared_buffers", "16MB")]).unwrap();
    let name = database(&server);
    let store = open(&server, &name).await;
    let run = store.begin_run("p", "s").await.unwrap();
    store.save_checkpoint(run, &key("s"), &mark(1), counters(1)).await.unwrap();
    for (round, shutdown) in (2..).zip([Shutdown::Fast, Shutdown::Immediate]) {
        server.restart(shutdown).unwrap();
        // It is not dead: its connection is, and it makes a new one.
        let second = open(&server, &name).await;
        let busy = second.begin_run("p", "s").await;
        assert!(matches!(busy, Err(StateError::Busy { .. })), "{busy:?}");
        store.save_checkpoint(run, &key("s"), &mark(round), counters(round)).await.unwrap();
        assert_eq!(second.last_checkpoint(&key("s")).await.unwrap(), Some(mark(round)));
    }
    // And while it is away, an operation waits for it.
    server.stop(Shutdown::Immediate).unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.save_checkpoint(run, &key("s"), &mark(9), counters(9)).await }
    });
    let server = tokio::task::spawn_blocking(move || {
        server.restart(Shutdown::Fast).unwrap();
        server
    });
    let _server = server.await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(store.last_checkpoint(&key("s")).await.unwrap(), Some(mark(9)));
}

#[tokio::test]
async fn connections_that_are_closed_are_made_again() {
    let server = shared_server();
    let name = database(&server);
    let store = open(&server, &name).await;
    let run = store.begin_run("p", "s").await.unwrap();
    let locked = format!(
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
         WHERE locktype = 'advisory' AND datname = '{name}'"
    );
    for round in 1..=3 {
        let closed = server
            .sql(
                "postgres",
                &format!(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'"
                ),
            )
            .unwrap();
        assert_eq!(closed.trim(), "2", "one for operations, one for the claims");
        store.save_checkpoint(run, &key("s"), &mark(round), counters(round)).await.unwrap();
        store.add_dead_letters(run, &key("s"), &letters(round, "x")).await.unwrap();
        // The claim comes back by itself.
        let started = Instant::now();
        while server.sql("postgres", &locked).unwrap().trim() != "1" {
            assert!(started.elapsed() < Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let second = open(&server, &name).await;
        assert!(matches!(second.begin_run("p", "s").await, Err(StateError::Busy { .. })));
    }
    store.finish_run(run, RunStatus::Succeeded, counters(9), None).await.unwrap();
}

/// What a proxy does with the `proxied` commit that it sees.
#[derive(Clone, Copy)]
enum Cut {
    /// The server never hears of it.
    Before,
    /// The server does it, and the client does not hear of that.
    Behind,
}

/// Passes connections on to the server, and cuts the one that asks for the commit number `at`.
async fn proxy(server_port: u16, cut: Cut, at: u32) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let commits = Arc::new(AtomicU32::new(0));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let commits = commits.clone();
            tokio::spawn(async move {
                let upstream = TcpStream::connect(("127.0.0.1", server_port)).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = upstream.into_split();
                let answers = tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
                });
                let mut bytes = vec![0; 1 << 16];
                while let Ok(length @ 1..) = from_client.read(&mut bytes).await {
                    let message = &bytes[..length];
                    if message.windows(7).any(|window| window == b"COMMIT\0")
                        && commits.fetch_add(1, Ordering::SeqCst) + 1 == at
                    {
                        answers.abort();
                        let _ = answers.await;
                        if matches!(cut, Cut::Behind) {
                            to_server.write_all(message).await.unwrap();
                            // Closed in order, so the server reads and does what was sent before.
                            to_server.shutdown().await.unwrap();
                        }
                        return;
                    }
                    if to_server.write_all(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_happens_once() {
    let server = shared_server();
    for cut in [Cut::Before, Cut::Behind] {
        let name = database(&server);
        // The tables are there: their commit is not the one that counts.
        drop(open(&server, &name).await);
        let filter = DeadLetterFilter { pipeline: "p".into(), stream: None };
        for at in 1..=4 {
            let port = proxy(server.port(), cut, at).await;
            let connection = format!(
                "host=127.0.0.1 port={port} user={USER} password='{PASSWORD}' dbname={name} sslmode=disable"
            );
            let store = PostgresStore::open(&connection).await.unwrap();
            let stream = format!("s{at}");
            // Commits 1 to 4, of which one is cut.
            let run = store.begin_run("p", &stream).await.unwrap();
            store.add_dead_letters(run, &key(&stream), &letters(0, "once")).await.unwrap();
            store.save_checkpoint(run, &key(&stream), &mark(1), counters(1)).await.unwrap();
            store.finish_run(run, RunStatus::Succeeded, counters(2), None).await.unwrap();

            let direct = open(&server, &name).await;
            let runs = direct.runs(Some("p"), 100).await.unwrap();
            assert_eq!(runs.len(), at as usize, "one run each");
            assert_eq!(
                (runs[0].run_id, runs[0].status, runs[0].counters),
                (run, RunStatus::Succeeded, counters(2))
            );
            assert_eq!(direct.dead_letters(&filter, 0, 100).await.unwrap().len(), at as usize);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_what_to_do() {
    let server = shared_server();
    let name = database(&server);
    let refused = |connection: String| async move {
        let error = PostgresStore::open(&connection).await.map(|_| ()).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains(PASSWORD) && !text.contains("open sesame"), "{text}");
        error
    };

    drop(open(&server, &name).await);
    server.sql(&name, "UPDATE rapidbyte.state_version SET version = 99").unwrap();
    let error = refused(connection(&server, &name)).await;
    assert!(matches!(error, StateError::TooNew { found: 99, known: 1, .. }), "{error}");

    server.sql(&name, "CREATE SCHEMA shop; CREATE TABLE shop.customers (id INT)").unwrap();
    let error = refused(format!("{} schema=shop", connection(&server, &name))).await.to_string();
    assert!(error.contains("another program") && error.contains("schema="), "{error}");

    let wrong = connection(&server, &name).replace(PASSWORD, "open sesame");
    let error = refused(wrong).await.to_string();
    assert!(error.contains("28P01") && error.contains("check user and password"), "{error}");

    let error = refused(connection(&server, "nowhere")).await.to_string();
    assert!(error.contains("create the database"), "{error}");

    server.sql("postgres", "CREATE DATABASE latin TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'").unwrap();
    let error = refused(connection(&server, "latin")).await.to_string();
    assert!(error.contains("LATIN1"), "{error}");

    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let error = refused(format!("postgresql://u:open%20sesame@127.0.0.1:{port}/db")).await.to_string();
    assert!(error.contains("check that the server runs"), "{error}");
    let error = refused("postgresql://u:open%20sesame@h/db?sslmode=maybe".to_owned()).await.to_string();
    assert!(error.contains("sslmode"), "{error}");
}

/// A user who may use the tables but not make any, as after an administrator's first run.
#[tokio::test]
async fn rights_on_the_tables_are_enough() {
    let server = shared_server();
    let name = database(&server);
    drop(open(&server, &name).await);
    let role = format!("only_tables_{name}");
    server
        .sql(
            &name,
            &format!(
                "CREATE ROLE {role} LOGIN PASSWORD 'sesame';
                 GRANT USAGE ON SCHEMA rapidbyte TO {role};
                 GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA rapidbyte TO {role};
                 GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA rapidbyte TO {role}"
            ),
        )
        .unwrap();
    let port = server.port();
    let limited = format!("postgresql://{role}:sesame@127.0.0.1:{port}/{name}?sslmode=disable");
    let store = PostgresStore::open(&limited).await.unwrap();
    let run = store.begin_run("p", "s").await.unwrap();
    store.add_dead_letters(run, &key("s"), &letters(0, "x")).await.unwrap();
    store.save_checkpoint(run, &key("s"), &mark(1), counters(1)).await.unwrap();
    store.finish_run(run, RunStatus::Succeeded, counters(1), None).await.unwrap();
    store.reset("p", None).await.unwrap();
    // In a schema that is not there yet, it says what is missing.
    let error =
        PostgresStore::open(&format!("{limited}&schema=mine")).await.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("42501") && error.contains("docs/state.md"), "{error}");
}

#[tokio::test]
async fn a_schema_of_its_own_is_another_state() {
    let server = shared_server();
    let name = database(&server);
    let here = open(&server, &name).await;
    let there =
        PostgresStore::open(&format!("{} schema=second_state", connection(&server, &name))).await.unwrap();
    assert_ne!(here.location(), there.location());
    assert!(!here.location().contains(PASSWORD));
    let run = here.begin_run("p", "s").await.unwrap();
    there.begin_run("p", "s").await.unwrap();
    drop(here);
    let again = open(&server, &name).await;
    assert!(again.begin_run("p", "s").await.unwrap() > run);
}

/// People read it with their own tools while a sync runs.
#[tokio::test]
async fn can_be_read_in_sql() {
    let server = shared_server();
    let name = database(&server);
    let store = open(&server, &name).await;
    let run = store.begin_run("p", "s").await.unwrap();
    store.save_checkpoint(run, &key("s"), &mark(41), counters(0)).await.unwrap();
    let row =
        server.sql(&name, "SELECT stream, cursor_type, cursor_value FROM rapidbyte.sync_cursors").unwrap();
    assert_eq!(row.trim(), "s|int64|41");
}
