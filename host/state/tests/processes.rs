//! Several processes on one state: one claims, the others see it, a killed one is taken over. The other processes are
//! this test binary again, running `other_process`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rapidbyte_core::contract::{Cursor, CursorValue};
use rapidbyte_core::ports::{RunCounters, RunStatus, SavedCheckpoint, StateError, StateStore, TaskKey};
use rapidbyte_state::SqliteStore;

const STATE: &str = "RAPIDBYTE_TEST_STATE";

/// Claims `p`/`s`, saves a checkpoint, says how it went, and lives until its input ends or it is killed.
#[tokio::test]
#[ignore = "run by the tests of this file, as another process"]
async fn other_process() {
    let Ok(path) = std::env::var(STATE) else { return };
    let store = SqliteStore::open(Path::new(&path)).unwrap();
    let answer = match store.begin_run("p", "s").await {
        Ok(run) => {
            let checkpoint = SavedCheckpoint {
                id: 1,
                cursor: Some(Cursor { field: "id".into(), value: CursorValue::Int64(41) }),
                complete: false,
                reset: false,
                saved_at: 1,
            };
            let _ = store.save_checkpoint(run, &key(), &checkpoint, RunCounters::default()).await;
            format!("claimed {run}")
        }
        Err(StateError::Busy { holder, .. }) => format!("busy {holder}"),
        Err(error) => format!("error {error}"),
    };
    println!("\nANSWER {answer}");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn key() -> TaskKey {
    TaskKey { pipeline: "p".into(), stream: "s".into(), partition: 0 }
}

struct Other {
    child: Child,
    /// Closing it lets the process end.
    _stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Other {
    fn start(state: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "other_process", "--ignored", "--nocapture", "--test-threads=1"])
            .env(STATE, state)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Other { child, _stdin: stdin, stdout }
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
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_killed_process_is_taken_over_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let mut other = Other::start(&path);
    assert!(other.answer().starts_with("claimed "));
    let pid = other.child.id();

    let store = SqliteStore::open(&path).unwrap();
    match store.begin_run("p", "s").await {
        Err(StateError::Busy { holder, .. }) => assert_eq!(holder, format!("process {pid}")),
        other => panic!("{other:?}"),
    }
    assert!(matches!(store.reset("p", None).await, Err(StateError::Busy { .. })));

    other.child.kill().unwrap();
    other.child.wait().unwrap();
    let run = store.begin_run("p", "s").await.unwrap();
    let runs = store.runs(Some("p"), 10).await.unwrap();
    assert_eq!((runs[0].run_id, runs[0].status), (run, RunStatus::Running));
    assert_eq!(runs[1].status, RunStatus::Crashed);
    assert_eq!(runs[1].error.as_deref(), Some(format!("process {pid} died").as_str()));
    let saved = store.last_checkpoint(&key()).await.unwrap().unwrap();
    assert_eq!(saved.cursor.unwrap().value, CursorValue::Int64(41), "what it saved is there");

    store.finish_run(run, RunStatus::Succeeded, RunCounters::default(), None).await.unwrap();
    drop(store);
    let left = std::fs::read_dir(folder.path().join("holders")).unwrap().count();
    assert!(left <= 1, "at most the file of the killed one is left");
    let fresh = SqliteStore::open(&path).unwrap();
    let run = fresh.begin_run("p", "s").await.unwrap();
    assert_eq!(
        std::fs::read_dir(folder.path().join("holders")).unwrap().count(),
        1,
        "the dead are cleaned up"
    );
    fresh.finish_run(run, RunStatus::Succeeded, RunCounters::default(), None).await.unwrap();
}

#[test]
fn of_many_at_once_exactly_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    // None of them has a file to begin with: they also migrate at the same time.
    let mut others: Vec<Other> = (0..8).map(|_| Other::start(&path)).collect();
    let answers: Vec<String> = others.iter_mut().map(Other::answer).collect();
    let claimed = answers.iter().filter(|answer| answer.starts_with("claimed ")).count();
    let busy = answers.iter().filter(|answer| answer.starts_with("busy process ")).count();
    assert_eq!((claimed, busy), (1, 7), "{answers:?}");
}
