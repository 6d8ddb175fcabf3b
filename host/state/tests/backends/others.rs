//! Several processes on one server, as on several machines: one claims, the others see it, a killed or frozen one is taken
//! over. The other processes are this test binary again, running `other_process`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rapidbyte_core::dead_letter::DeadLetterFilter;
use rapidbyte_core::ports::{RunCounters, RunStatus, StateError, StateStore};
use rapidbyte_state::PostgresStore;

use crate::support::{begin_when_free, connection, counters, database, key, letters, mark, shared_server};

const STATE: &str = "RAPIDBYTE_TEST_STATE";

/// Claims `p`/`s`, saves a checkpoint, says how it went, and does what it is told until its input ends or it is killed.
#[tokio::test]
#[ignore = "run by the tests of this file, as another process"]
async fn other_process() {
    let Ok(connection) = std::env::var(STATE) else { return };
    let store = PostgresStore::open(&connection).await.unwrap();
    let answer = |text: String| {
        println!("\nANSWER {text}");
        std::io::stdout().flush().unwrap();
    };
    let run = match store.begin_run("p", "s").await {
        Ok(run) => {
            store.save_checkpoint(run, &key("s"), &mark(1), RunCounters::default()).await.unwrap();
            answer(format!("claimed {run}"));
            run
        }
        Err(StateError::Busy { holder, .. }) => return answer(format!("busy {holder}")),
        Err(error) => return answer(format!("error {error}")),
    };
    for line in std::io::stdin().lines() {
        let done = match line.unwrap().as_str() {
            "save" => store.save_checkpoint(run, &key("s"), &mark(1000), counters(0)).await,
            "letters" => store.add_dead_letters(run, &key("s"), &letters(0, "of the frozen")).await,
            "resolve" => store.resolve_dead_letters(&key("s"), None).await,
            "finish" => store.finish_run(run, RunStatus::Succeeded, counters(0), None).await,
            "put" => store.put(r#"["stream","p","s"]"#, "k", b"of the frozen").await,
            "swap" => {
                store.compare_and_swap(r#"["stream","p","s"]"#, "k", None, b"of the frozen").await.map(|_| ())
            }
            other => panic!("{other}"),
        };
        answer(match done {
            Ok(()) => "done".to_owned(),
            Err(StateError::TakenOver { holder, .. }) => format!("taken over by {holder}"),
            Err(error) => format!("error {error}"),
        });
    }
}

struct Other {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Other {
    fn start(connection: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "others::other_process", "--ignored", "--nocapture", "--test-threads=1"])
            .env(STATE, connection)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Other { child, stdin, stdout }
    }

    fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the process ended without an answer");
            if let Some(answer) = line.trim_end().strip_prefix("ANSWER ") {
                return answer.to_owned();
            }
        }
    }

    fn told(&mut self, order: &str) -> String {
        writeln!(self.stdin, "{order}").unwrap();
        self.answer()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_killed_process_is_taken_over_and_loses_nothing() {
    let server = shared_server();
    let connection = connection(&server, &database(&server));
    let mut other = Other::start(&connection);
    assert!(other.answer().starts_with("claimed "));
    let pid = other.child.id();

    let store = PostgresStore::open(&connection).await.unwrap();
    match store.begin_run("p", "s").await {
        Err(StateError::Busy { holder, .. }) => {
            assert!(
                holder.starts_with(&format!("process {pid} on ")) && holder.contains(" since "),
                "{holder}"
            );
        }
        other => panic!("{other:?}"),
    }
    other.child.kill().unwrap();
    other.child.wait().unwrap();
    let run = begin_when_free(&store, "p", "s").await;
    let runs = store.runs(Some("p"), 10).await.unwrap();
    assert_eq!((runs[0].run_id, runs[1].status), (run, RunStatus::Crashed));
    assert!(runs[1].error.as_ref().unwrap().starts_with(&format!("process {pid} on ")));
    assert_eq!(store.last_checkpoint(&key("s")).await.unwrap().unwrap(), mark(1), "what it saved is there");
}

#[test]
fn of_many_processes_at_once_exactly_one_wins() {
    let server = shared_server();
    let connection = connection(&server, &database(&server));
    // None of them has tables to begin with: they also migrate at the same time.
    let mut others: Vec<Other> = (0..6).map(|_| Other::start(&connection)).collect();
    let answers: Vec<String> = others.iter_mut().map(Other::answer).collect();
    let claimed = answers.iter().filter(|answer| answer.starts_with("claimed ")).count();
    let busy = answers.iter().filter(|answer| answer.starts_with("busy process ")).count();
    assert_eq!((claimed, busy), (1, 5), "{answers:?}");
}

#[tokio::test]
async fn a_process_frozen_past_its_lease_writes_nothing_any_more() {
    let server = shared_server();
    let name = database(&server);
    let connection = connection(&server, &name);
    let mut frozen = Other::start(&connection);
    assert!(frozen.answer().starts_with("claimed "));
    frozen.signal("STOP");

    let store = PostgresStore::open(&connection).await.unwrap();
    assert!(
        matches!(store.begin_run("p", "s").await, Err(StateError::Busy { .. })),
        "its lease has not run out"
    );
    // An hour passes on the server.
    server.sql(&name, "UPDATE rapidbyte.holders SET seen_at = seen_at - interval '1 hour'").unwrap();
    let run = store.begin_run("p", "s").await.unwrap();
    store.add_dead_letters(run, &key("s"), &letters(1, "of the new")).await.unwrap();
    store.put(r#"["stream","p","s"]"#, "k", b"of the new").await.unwrap();

    frozen.signal("CONT");
    let me = format!("taken over by process {} on ", std::process::id());
    for order in ["save", "letters", "resolve", "put", "swap", "finish"] {
        let answer = frozen.told(order);
        assert!(answer.starts_with(&me), "{order}: {answer}");
    }
    store.save_checkpoint(run, &key("s"), &mark(2), counters(0)).await.unwrap();
    let filter = DeadLetterFilter { pipeline: "p".into(), stream: None };
    let settled = store.dead_letters(&filter, 0, 10).await.unwrap();
    assert_eq!((settled.len(), settled[0].run_id), (1, run));
    assert_eq!(store.get(r#"["stream","p","s"]"#, "k").await.unwrap().unwrap(), b"of the new");
    store.finish_run(run, RunStatus::Succeeded, counters(0), None).await.unwrap();
    assert_eq!(store.runs(None, 1).await.unwrap()[0].status, RunStatus::Succeeded);
}
