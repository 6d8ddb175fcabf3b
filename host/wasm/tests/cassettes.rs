//! Cassettes: a real guest talks to a real server, with and without TLS, and then to the recording of that.

mod harness;

use std::path::Path;
use std::sync::Arc;

use harness::*;
use rapidbyte_core::redact::Redactor;
use rapidbyte_core::{ConnectorError, RunSummary};
use rapidbyte_wasm::Network;
use rapidbyte_wasm::network::cassette::{CassetteError, Player, Recorder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Sends back what comes, for one connection after the other.
async fn echo_server() -> (u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 1 << 16];
            while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                if stream.write_all(&bytes[..read]).await.is_err() {
                    break;
                }
            }
        }
    });
    (port, serving)
}

async fn run(rig: Rig, network: Arc<dyn Network>) -> Result<RunSummary, ConnectorError> {
    let mut rig = rig;
    rig.network = Some(network);
    rig.run().await.result
}

fn rig(port: u16, count: u64) -> Rig {
    Rig::source("tcp_echo").endpoint("127.0.0.1", port).count(count)
}

fn recorder(folder: &Path, redactor: &Redactor) -> Arc<Recorder> {
    Arc::new(Recorder::new(folder, engine().network(), redactor.clone(), 7).unwrap())
}

fn player(folder: &Path, redactor: &Redactor) -> Arc<Player> {
    Arc::new(Player::open(folder, redactor.clone()).unwrap())
}

#[test]
fn what_was_recorded_is_played_without_a_network() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let none = Redactor::default();
        let (port, serving) = echo_server().await;
        let recording = recorder(folder.path(), &none);
        run(rig(port, 300_000), recording.clone()).await.unwrap();
        run(rig(port, 500), recording).await.unwrap();
        serving.abort();
        let _ = serving.await;

        // Nobody listens any more.
        assert!(run(rig(port, 10), engine().network()).await.is_err());
        let playing = player(folder.path(), &none);
        run(rig(port, 300_000), playing.clone()).await.unwrap();
        run(rig(port, 500), playing.clone()).await.unwrap();
        assert_eq!(playing.difference(), None);

        // Everything was used up.
        let error = run(rig(port, 500), playing.clone()).await.unwrap_err();
        assert_eq!(error.code, "cassette_mismatch");
        assert!(error.message.contains("connection 3") && error.message.contains("has 2"), "{error}");
        assert_eq!(playing.difference(), Some(error.message));
    });
}

#[test]
fn the_other_order_is_found_by_what_is_sent() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let none = Redactor::default();
        let (port, _serving) = echo_server().await;
        let recording = recorder(folder.path(), &none);
        run(rig(port, 100), recording.clone()).await.unwrap();
        run(rig(port, 200), recording).await.unwrap();

        // Both begin alike; the longer one comes first now.
        let playing = player(folder.path(), &none);
        run(rig(port, 200), playing.clone()).await.unwrap();
        run(rig(port, 100), playing.clone()).await.unwrap();
        assert_eq!(playing.difference(), None);
    });
}

#[test]
fn the_first_difference_is_named() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let none = Redactor::default();
        let (port, _serving) = echo_server().await;
        run(rig(port, 100), recorder(folder.path(), &none)).await.unwrap();
        let playing = player(folder.path(), &none);
        let error = run(rig(port, 101), playing.clone()).await.unwrap_err();
        assert_eq!(error.code, "cassette_mismatch");
        // `ping` and a hundred bytes were sent.
        assert!(error.message.contains("at byte 104 of what is sent it has `d`"), "{error}");
        assert!(error.message.contains("the recording nothing more"), "{error}");
        assert!(error.message.contains("0001-guest-source-127.0.0.1-"), "{error}");
    });
}

#[test]
fn secrets_are_masked_and_match_others() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (port, _serving) = echo_server().await;
        // `ping` is what the guest sends first, and what comes back.
        let redactor = Redactor::default();
        redactor.register("ping");
        run(rig(port, 100), recorder(folder.path(), &redactor)).await.unwrap();
        let mut files: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let text = std::fs::read_to_string(&files[0]).unwrap();
        assert!(!text.contains("ping") && !text.contains("cGluZ"), "{text}");
        let head = text.lines().nth(1).unwrap();
        assert!(head.starts_with(r#"{"sent":{"text":"****"#), "{head}");
        // What was masked in what came back stays masked: that is the recording's word.
        let error = run(rig(port, 100), player(folder.path(), &redactor)).await.unwrap_err();
        assert_eq!(error.code, "guest_trapped", "the guest expects its own words back: {error}");
        // Without knowing that `ping` is a secret, it is not taken for one.
        let error = run(rig(port, 100), player(folder.path(), &Redactor::default())).await.unwrap_err();
        assert_eq!(error.code, "cassette_mismatch", "{error}");
    });
}

#[test]
fn a_refused_connection_is_refused_again() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let none = Redactor::default();
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let first = run(rig(port, 1), recorder(folder.path(), &none)).await.unwrap_err();
        assert_eq!(first.code, "connection_refused");
        let again = run(rig(port, 1), player(folder.path(), &none)).await.unwrap_err();
        assert_eq!(first, again);
    });
}

#[test]
fn other_folders_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let none = Redactor::default();
    assert!(matches!(Player::open(folder.path(), none.clone()), Err(CassetteError::NoRecording { .. })));
    drop(Recorder::new(folder.path(), engine().network(), none.clone(), 1).unwrap());
    let again = Recorder::new(folder.path(), engine().network(), none.clone(), 1);
    assert!(matches!(again, Err(CassetteError::NotEmpty { .. })));
    std::fs::write(
        folder.path().join("0001-x.jsonl"),
        "{\"connector\":\"a\",\"host\":\"b\",\"port\":1}\nnonsense\n",
    )
    .unwrap();
    let malformed = Player::open(folder.path(), none.clone());
    assert!(matches!(malformed, Err(CassetteError::Malformed { line: 2, .. })));
    std::fs::write(folder.path().join("cassette.json"), r#"{"version":9,"random_seed":1}"#).unwrap();
    assert!(matches!(Player::open(folder.path(), none), Err(CassetteError::Version { found: 9, .. })));
}
