//! What hostile and careless guests may try, and how each ends: with a typed error, and with a host that runs the next
//! guest. One test for each behaviour; the list at the end makes one that is missing a compile error.

mod harness;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use harness::*;
use rapidbyte_core::channel::{Bounds, channel};
use rapidbyte_core::grants::{Endpoint, Folder, TlsRequirement};
use rapidbyte_core::*;
use rapidbyte_wasm::Resolver;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Long enough for a loaded machine to get a guest going, short enough for a test to wait for it.
const IDLE: Duration = Duration::from_millis(500);

fn fails_with(rig: Rig, code: &str) -> (ConnectorError, Outcome) {
    let mut ended = None;
    block_on(async { ended = Some(rig.fails().await) });
    let (error, outcome) = ended.unwrap();
    assert_eq!(error.code, code, "{error:?}");
    (error, outcome)
}

fn succeeds(rig: Rig) -> (RunSummary, Outcome) {
    let mut ended = None;
    block_on(async { ended = Some(rig.succeeds().await) });
    ended.unwrap()
}

// ---- Time and memory ------------------------------------------------------------------------------

#[test]
fn endless_loop() {
    let mut rig = Rig::source("endless_loop");
    rig.idle_timeout = IDLE;
    let (error, _) = fails_with(rig, "idle_timeout");
    assert_eq!(error.category, ErrorCategory::Internal);
    assert!(!error.retryable);
}

#[test]
fn endless_loop_stops_when_its_call_is_dropped_and_is_poisoned() {
    block_on(async {
        let mut rig = Rig::source("endless_loop");
        let mut started = rig.start().await;
        started.open().await.unwrap();
        let call = started.instance.run(started.request.clone());
        assert!(tokio::time::timeout(IDLE, call).await.is_err());
        let error = started.instance.run(started.request.clone()).await.unwrap_err();
        assert_eq!(error.code, "instance_poisoned");
        assert_eq!(started.instance.close().await.unwrap_err().code, "instance_poisoned");
        the_host_lives(&rig.engine).await;
    });
}

/// While one guest spins, others on the same single thread get their turn.
#[test]
fn endless_loop_does_not_hold_a_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut rig = Rig::source("endless_loop");
        let mut started = rig.start().await;
        started.open().await.unwrap();
        tokio::select! {
            biased;
            _ = started.instance.run(started.request.clone()) => panic!("it ends"),
            () = the_host_lives(&rig.engine) => {}
        }
    });
}

#[test]
fn endless_loop_in_open() {
    let mut rig = Rig::source("endless_loop_in_open");
    rig.idle_timeout = IDLE;
    fails_with(rig, "idle_timeout");
}

#[test]
fn sleeps_forever() {
    let mut rig = Rig::source("sleeps_forever");
    rig.idle_timeout = IDLE;
    fails_with(rig, "idle_timeout");
}

#[test]
fn memory_growth() {
    let mut rig = Rig::source("memory_growth");
    rig.memory_bytes_max = 24 * MIB;
    let (error, outcome) = fails_with(rig, "memory_limit");
    assert!(error.message.contains("its limit is 24 MB"), "{error}");
    assert!(outcome.peak > 20 * MIB && outcome.peak <= 24 * MIB, "{}", outcome.peak);
}

#[test]
fn overflows_stack() {
    let (error, _) = fails_with(Rig::source("overflows_stack"), "guest_trapped");
    assert!(error.message.contains("call stack exhausted"), "{error}");
}

#[test]
fn traps() {
    let (error, _) = fails_with(Rig::source("traps"), "guest_trapped");
    assert_eq!(error.category, ErrorCategory::Internal);
    assert!(error.message.contains("about to trap"), "the last log line: {error}");
    let details: serde_json::Value = serde_json::from_str(&error.details.unwrap()).unwrap();
    let backtrace = details["backtrace"].as_array().unwrap();
    assert!(backtrace.iter().any(|frame| frame.as_str().unwrap().contains("traps")), "{backtrace:?}");
}

#[test]
fn panics() {
    let rig = Rig::source("panics").text("hunter2-secret");
    rig.redactor.register("hunter2-secret");
    let (error, _) = fails_with(rig, "guest_trapped");
    assert!(error.message.contains("the cupboard is bare: ***"), "{error}");
    let details: serde_json::Value = serde_json::from_str(&error.details.unwrap()).unwrap();
    let innermost = details["backtrace"][0].as_str().unwrap();
    assert!(innermost.ends_with("hostile::panics"), "not the machinery of the panic: {innermost}");
}

#[test]
fn exits() {
    let (error, _) = fails_with(Rig::source("exits"), "guest_trapped");
    assert!(error.message.contains("exited with status"), "{error}");
}

// ---- Frames ---------------------------------------------------------------------------------------

#[test]
fn frame_too_large() {
    let rig = Rig::source("frame_too_large").count(4 * MIB + 1);
    let (error, _) = fails_with(rig, "frame_too_large");
    assert_eq!(error.category, ErrorCategory::Frame);
}

/// More than the host takes in one call at all.
#[test]
fn call_too_large() {
    let mut rig = Rig::source("call_too_large").count(100 * MIB);
    rig.memory_bytes_max = 256 * MIB;
    let (error, _) = fails_with(rig, "guest_trapped");
    assert!(error.message.contains("handed over more than"), "{error}");
}

#[test]
fn aliased_labels() {
    fails_with(Rig::source("aliased_labels"), "guest_trapped");
}

#[test]
fn frame_mutations() {
    let mut rig = Rig::source("frame_mutations").frames([frame_hex(1, 20)]).count(3_000);
    rig.limits.max_batch_bytes = MIB;
    let (_, mut outcome) = succeeds(rig);
    let said = outcome.services.messages().join(" ");
    let numbers: Vec<u64> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(numbers[0] > 500 && numbers[1] > 100, "{said}");
    assert_eq!(outcome.emitted().len(), 1);
}

#[test]
fn bad_frame() {
    let bytes = frame(1, 3).bytes().to_vec();
    let two = {
        let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &schema()).unwrap();
        writer.write(&batch(1, 3)).unwrap();
        writer.write(&batch(4, 3)).unwrap();
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    };
    for bad in [two, bytes[..bytes.len() / 2].to_vec(), Vec::new(), vec![0xff; 1000]] {
        let (error, mut outcome) =
            fails_with(Rig::source("bad_frame").frames([hex(&bad)]), "frame_malformed");
        assert_eq!(error.category, ErrorCategory::Frame);
        assert!(outcome.emitted().is_empty());
    }
}

#[test]
fn other_schema() {
    use arrow_array::{ArrayRef, Int32Array, RecordBatch};
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let other = Frame::encode(&RecordBatch::try_from_iter([("id", ids)]).unwrap()).unwrap();
    // Another one than the first.
    let frames = [frame_hex(1, 3), hex(other.bytes())];
    let (error, mut outcome) = fails_with(Rig::source("other_schema").frames(frames), "schema_mismatch");
    assert!(error.message.contains("column `id` is Int32, not Int64"), "{error}");
    assert_eq!(outcome.emitted().len(), 1);
    // Another one than was announced.
    let mut rig = Rig::source("other_schema").frames([hex(other.bytes())]);
    rig.announced = Some(schema());
    let (error, mut outcome) = fails_with(rig, "schema_mismatch");
    assert_eq!(error.category, ErrorCategory::Frame);
    assert!(outcome.emitted().is_empty());
    // The same.
    let mut rig = Rig::source("other_schema").frames([frame_hex(1, 3), frame_hex(4, 3)]);
    rig.announced = Some(schema());
    assert_eq!(succeeds(rig).1.emitted().len(), 2);
}

#[test]
fn many_frames() {
    fails_with(Rig::source("many_frames").frames([frame_hex(1, 3)]), "too_many_frames");
    // Few, but large together.
    let mut rig = Rig::source("many_frames").frames([frame_hex(1, 3)]);
    rig.limits.max_batch_bytes = 2 * 1024;
    let (error, _) = fails_with(rig, "too_many_frames");
    assert!(!error.message.contains("64 frames"), "{error}");
}

#[test]
fn forged_frame() {
    for handle in [0, 1, 2, 4711, u64::from(u32::MAX)] {
        fails_with(Rig::source("forged_frame").count(handle), "guest_trapped");
    }
}

#[test]
fn forged_socket() {
    for handle in [0, 1, 4711] {
        fails_with(Rig::source("forged_socket").count(handle), "guest_trapped");
    }
}

#[test]
fn used_twice() {
    fails_with(Rig::source("used_twice").frames([frame_hex(1, 3)]), "guest_trapped");
}

#[test]
fn emit_in_open() {
    let (error, _) = fails_with(Rig::source("emit_in_open").frames([frame_hex(1, 3)]), "wrong_role");
    assert_eq!(error.category, ErrorCategory::Permission);
}

#[test]
fn emit_in_close() {
    let (_, mut outcome) = fails_with(Rig::source("emit_in_close").frames([frame_hex(1, 3)]), "wrong_role");
    assert!(outcome.emitted().is_empty());
}

#[test]
fn emits_as_destination() {
    fails_with(Rig::destination("emits_as_destination").frames([frame_hex(1, 3)]), "wrong_role");
}

#[test]
fn reads_as_source() {
    fails_with(Rig::source("reads_as_source"), "wrong_role");
}

// ---- Checkpoints and state ------------------------------------------------------------------------

#[test]
fn commits_as_source() {
    let (_, outcome) = fails_with(Rig::source("commits_as_source"), "wrong_role");
    assert!(outcome.services.checkpoints.lock().unwrap().is_empty());
}

#[test]
fn commits_unknown() {
    let (_, outcome) = fails_with(Rig::destination("commits_unknown"), "unknown_checkpoint");
    assert!(outcome.services.checkpoints.lock().unwrap().is_empty());
}

#[test]
fn commits_twice() {
    let (_, outcome) = fails_with(Rig::destination("commits_twice"), "unknown_checkpoint");
    assert_eq!(outcome.services.checkpoints.lock().unwrap().len(), 1);
}

#[test]
fn late_receipt() {
    fails_with(Rig::destination("late_receipt"), "receipt_too_late");
}

#[test]
fn huge_cursor() {
    fails_with(Rig::source("huge_cursor"), "cursor_too_large");
}

/// No error, but the source learns that nobody listens.
#[test]
fn never_reads() {
    let (sender, receiver) = channel(Bounds { bytes_max: 1, frames_max: 1 });
    let mut rig = Rig::destination("never_reads");
    rig.inlet = Some(receiver);
    succeeds(rig);
    assert!(sender.try_send(rapidbyte_core::channel::Event::Frame(frame(1, 3))).is_err());
}

#[test]
fn state_without_grant() {
    for function in ["get", "put", "swap"] {
        let mut rig = Rig::source("state_without_grant").text(function);
        rig.grants.functions.state_read = false;
        rig.grants.functions.state_write = function == "swap";
        let (error, _) = fails_with(rig, "function_not_granted");
        assert_eq!(error.category, ErrorCategory::Permission);
    }
}

#[test]
fn state_too_large() {
    fails_with(Rig::source("state_too_large"), "state_value_too_large");
    fails_with(Rig::source("state_too_large").text("key"), "state_key_too_large");
}

#[test]
fn misplaced_dead_letters() {
    let rig = Rig::source("misplaced_dead_letters").frames([frame_hex(1, 3)]);
    let (_, outcome) = fails_with(rig, "dead_letters_misplaced");
    assert!(outcome.services.letters.lock().unwrap().is_empty());
}

// ---- The way out ----------------------------------------------------------------------------------

/// Answers every name with one list of addresses.
struct Rebinding(Vec<SocketAddr>);

#[async_trait]
impl Resolver for Rebinding {
    async fn resolve(&self, _host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(self.0.clone())
    }
}

fn grant(rig: &mut Rig, host: &str, port: u16, from_config: bool) {
    rig.grants.endpoints.push(Endpoint { host: host.into(), port, from_config });
}

/// A server on loopback that says whether anybody came.
async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn nobody_came(listener: &TcpListener) {
    let came = std::future::poll_fn(|cx| std::task::Poll::Ready(listener.poll_accept(cx).is_ready())).await;
    assert!(!came, "a connection arrived");
}

#[test]
fn connect() {
    block_on(async {
        let (listener, port) = listener().await;
        let rig = |host: &str| {
            let mut rig = Rig::source("connect");
            rig.config.host = host.into();
            rig.config.port = port;
            rig
        };
        let refused = async |rig: Rig, code: &str| {
            let (error, _) = rig.fails().await;
            assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Permission, code), "{error:?}");
            nobody_came(&listener).await;
        };
        // Nothing was granted.
        refused(rig("localhost"), "endpoint_not_granted").await;
        // The same address by another spelling.
        for host in
            ["127.0.0.1", "127.1", "0x7f.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "localhost.evil.example"]
        {
            let mut rig = rig(host);
            grant(&mut rig, "localhost", port, true);
            refused(rig, "endpoint_not_granted").await;
        }
        // Another port.
        let mut other_port = rig("localhost");
        grant(&mut other_port, "localhost", port ^ 1, true);
        refused(other_port, "endpoint_not_granted").await;
        // A name granted by the manifest that leads to this machine: DNS rebinding.
        for addresses in
            [vec!["127.0.0.1:1"], vec!["[::1]:1"], vec!["[::ffff:127.0.0.1]:1"], vec!["169.254.169.254:80"]]
        {
            let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            let mut rig = rig("api.example.com");
            rig.engine = engine_with(Some(Arc::new(Rebinding(addresses))));
            grant(&mut rig, "api.example.com", port, false);
            refused(rig, "address_not_granted").await;
        }
        // The manifest cannot grant it by address either.
        let mut by_address = rig("127.0.0.1");
        grant(&mut by_address, "127.0.0.1", port, false);
        refused(by_address, "address_not_granted").await;
        // What the user wrote may lead to this machine, under the granted port whatever the resolver says.
        let mut granted = rig("db.internal");
        granted.engine = engine_with(Some(Arc::new(Rebinding(vec!["127.0.0.1:1".parse().unwrap()]))));
        grant(&mut granted, "db.internal", port, true);
        granted.succeeds().await;
        listener.accept().await.unwrap();
    });
}

#[test]
fn connect_to_nobody_is_an_error_of_the_network() {
    block_on(async {
        let (listener, port) = listener().await;
        drop(listener);
        let (error, _) = Rig::source("connect").endpoint("127.0.0.1", port).fails().await;
        assert_eq!(error.code, "connection_refused");
        assert!(error.retryable && error.category == ErrorCategory::TransientNetwork);
        let mut rig = Rig::source("connect").endpoint("nowhere.example.com", port);
        rig.engine = engine_with(Some(Arc::new(Rebinding(vec![]))));
        assert_eq!(rig.fails().await.0.code, "dns_failed");
    });
}

#[test]
fn connect_many() {
    block_on(async {
        let (listener, port) = listener().await;
        let accepting = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.push(stream);
            }
        });
        let (error, _) = Rig::source("connect_many").endpoint("127.0.0.1", port).count(1000).fails().await;
        assert_eq!(error.code, "too_many_sockets");
        accepting.abort();
    });
}

#[test]
fn peer_never_answers() {
    for way in ["read", "wait"] {
        block_on(async {
            let (_listener, port) = listener().await;
            let mut rig = Rig::source("peer_never_answers").endpoint("127.0.0.1", port).text(way);
            rig.idle_timeout = IDLE;
            let (error, _) = rig.fails().await;
            assert_eq!(error.code, "idle_timeout", "{error:?}");
            assert_eq!(error.category, ErrorCategory::TransientNetwork, "{way}");
        });
    }
}

#[test]
fn wasi_sockets() {
    block_on(async {
        let (listener, port) = listener().await;
        // Even what host-io may reach.
        let (_, outcome) = Rig::source("wasi_sockets").endpoint("127.0.0.1", port).succeeds().await;
        assert_eq!(outcome.services.messages(), ["connect: refused", "bind: refused", "lookup: refused"]);
        nobody_came(&listener).await;
    });
}

#[test]
fn plain_text_before_tls() {
    block_on(async {
        let (listener, port) = listener().await;
        // Answers whatever comes with an `S`, as PostgreSQL does, and something that was not to be read in the clear.
        let server = tokio::spawn(async move {
            let mut heard = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(b"Sanything").await.unwrap();
                let mut all = Vec::new();
                let _ = stream.read_to_end(&mut all).await;
                heard.push(all);
                if heard.len() == 3 {
                    return heard;
                }
            }
        });
        let rig = |way: &str, tls| {
            let mut rig = Rig::source("plain_text_before_tls").endpoint("127.0.0.1", port).text(way);
            rig.grants.tls = tls;
            rig
        };
        for way in ["read", "write"] {
            let (error, _) = rig(way, TlsRequirement::Required).fails().await;
            assert_eq!(error.code, "tls_required");
        }
        let (error, outcome) = rig("preamble", TlsRequirement::Required).fails().await;
        assert_eq!(error.code, "tls_required");
        assert_eq!(outcome.services.messages(), ["answer [83]"]);
        assert_eq!(server.await.unwrap(), [vec![], vec![], vec![0, 0, 0, 8, 4, 210, 22, 47]]);
    });
}

#[test]
fn tls_where_the_manifest_says_none() {
    block_on(async {
        let (_listener, port) = listener().await;
        let mut rig = Rig::source("plain_text_before_tls").endpoint("127.0.0.1", port).text("start_tls");
        rig.grants.tls = TlsRequirement::None;
        assert_eq!(rig.fails().await.0.code, "tls_not_granted");
    });
}

// ---- This machine ---------------------------------------------------------------------------------

#[test]
fn read_environment() {
    let mut rig = Rig::source("read_environment");
    rig.grants.env.push(("GRANTED".into(), "yes".into()));
    let (_, outcome) = succeeds(rig);
    assert_eq!(outcome.services.messages(), ["GRANTED=yes", "0 arguments"]);
}

/// A granted folder beside one that is not, with a symbolic link from the one into the other.
struct Disk {
    root: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["granted", "other"] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
            std::fs::write(root.path().join(folder).join("file"), "contents").unwrap();
        }
        #[cfg(unix)]
        for (link, to) in [("link", "../other/file"), ("folder", "../other"), ("absolute", "/etc/passwd")] {
            std::os::unix::fs::symlink(to, root.path().join("granted").join(link)).unwrap();
        }
        Disk { root }
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.root.path().join(path)
    }

    fn rig(&self, behaviour: &str, writable: bool, paths: &[&str]) -> Rig {
        let paths: Vec<_> = paths.iter().map(|path| self.path(path)).collect();
        let mut rig = Rig::source(behaviour).paths(&paths.iter().map(AsRef::as_ref).collect::<Vec<_>>());
        rig.grants.folders.push(Folder { path: self.path("granted"), writable });
        rig
    }
}

/// What a guest said of each path, without the path.
fn verdicts(outcome: &Outcome) -> Vec<String> {
    let messages = outcome.services.messages();
    messages
        .iter()
        .map(|message| message.split_once(": ").unwrap().1.split(' ').next().unwrap().to_owned())
        .collect()
}

#[test]
fn read_files() {
    let disk = Disk::new();
    let outside = [
        "other/file",
        "granted/../other/file",
        "granted/link",
        "granted/folder/file",
        "granted/absolute",
        "/etc/passwd",
        "/proc/self/environ",
    ];
    let (_, outcome) = succeeds(disk.rig("read_files", true, &outside));
    assert_eq!(verdicts(&outcome), vec!["refused"; outside.len()], "{:?}", outcome.services.messages());
    let (_, outcome) = succeeds(disk.rig("read_files", false, &["granted/file", "granted/./file"]));
    assert_eq!(verdicts(&outcome), ["contents", "contents"]);
    let mut nothing = disk.rig("read_files", false, &["granted/file"]);
    nothing.grants.folders.clear();
    assert_eq!(verdicts(&succeeds(nothing).1), ["refused"]);
}

#[test]
fn write_files() {
    let disk = Disk::new();
    let (_, outcome) = succeeds(disk.rig("write_files", false, &["granted/file", "granted/new"]));
    assert_eq!(verdicts(&outcome), ["refused", "refused"]);
    let outside = ["other/file", "granted/../other/new", "granted/link", "granted/folder/new"];
    let (_, outcome) = succeeds(disk.rig("write_files", true, &outside));
    assert_eq!(verdicts(&outcome), vec!["refused"; outside.len()], "{:?}", outcome.services.messages());
    assert_eq!(std::fs::read_to_string(disk.path("granted/file")).unwrap(), "contents");
    assert_eq!(std::fs::read_to_string(disk.path("other/file")).unwrap(), "contents");
    let (_, outcome) = succeeds(disk.rig("write_files", true, &["granted/new"]));
    assert_eq!(verdicts(&outcome), ["written"]);
    assert_eq!(std::fs::read_to_string(disk.path("granted/new")).unwrap(), "written");
}

#[test]
fn a_granted_folder_that_is_not_there_is_an_error_of_the_config() {
    block_on(async {
        let mut rig = Rig::source("echo");
        rig.grants.folders.push(Folder { path: "/nonexistent/folder".into(), writable: false });
        let services = Arc::new(FakeServices::default());
        let io = rapidbyte_core::ports::InstanceIo {
            inlet: None,
            outlet: None,
            services,
            limits: rig.limits,
            memory_bytes_max: MIB,
        };
        let Err(error) = rapidbyte_core::ports::Connector::start(&rig.load(), io).await else {
            panic!("it starts")
        };
        assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Config, "folder_not_usable"));
        assert!(error.message.contains("/nonexistent/folder"));
    });
}

// ---- Words ----------------------------------------------------------------------------------------

#[test]
fn leak_secrets() {
    let secret = "hunter2\"secret";
    let rig = Rig::source("leak_secrets").text(secret);
    rig.redactor.register(secret);
    let mut ended = None;
    block_on(async { ended = Some(rig.fails().await) });
    let (error, outcome) = ended.unwrap();
    assert_eq!(error.code, "code_***");
    assert_eq!(error.message, "cannot log in with ***");
    assert_eq!(error.details.as_deref(), Some(r#"{"password":"***"}"#));
    let logs = format!("{:?}", outcome.services.logs.lock().unwrap());
    let metrics = format!("{:?}", outcome.services.metrics.lock().unwrap());
    assert!(!logs.contains("hunter2") && logs.contains("stderr has ***"), "{logs}");
    assert!(!metrics.contains("hunter2") && metrics.contains("m.***"), "{metrics}");
}

#[test]
fn huge_texts() {
    let mut rig = Rig::source("huge_texts");
    rig.memory_bytes_max = 256 * MIB;
    let mut ended = None;
    block_on(async { ended = Some(rig.fails().await) });
    let (error, outcome) = ended.unwrap();
    assert!(error.message.len() < 10_000 && error.code.len() < 300 && error.details.unwrap().len() < 20_000);
    let logs = outcome.services.logs.lock().unwrap();
    assert!(logs[0].message.len() < 10_000);
    assert_eq!(logs[1].fields.len(), limits::LOG_FIELDS_MAX);
}

#[test]
fn log_flood() {
    let (_, outcome) = succeeds(Rig::source("log_flood").count(20_000));
    flood_is_capped(&outcome);
}

#[test]
fn output_flood() {
    let (_, outcome) = succeeds(Rig::source("output_flood").count(20_000));
    flood_is_capped(&outcome);
    assert!(outcome.services.messages().iter().all(|line| line.len() < 5_000));
}

/// Whatever the machine's speed: lines and reports of lost lines add up, and a second's worth is capped.
fn flood_is_capped(outcome: &Outcome) {
    let logs = outcome.services.logs.lock().unwrap();
    let mut kept = 0;
    let mut lost = 0;
    for event in logs.iter() {
        match event.fields.first() {
            Some((name, FieldValue::Int(count))) if name == "dropped" => lost += count,
            _ => kept += 1,
        }
    }
    assert!(kept >= 200 && lost > 0, "kept {kept}, lost {lost}");
    assert!((20_000..=20_001).contains(&(kept + lost)), "kept {kept}, lost {lost}");
}

#[test]
fn metric_flood() {
    let (_, outcome) = succeeds(Rig::source("metric_flood").count(20_000));
    assert_eq!(outcome.services.metrics.lock().unwrap().len(), rapidbyte_wasm::limits::METRIC_SERIES_MAX);
}

#[test]
fn words_without_grants_go_nowhere() {
    for behaviour in ["log_flood", "metric_flood"] {
        let mut rig = Rig::source(behaviour).count(10);
        rig.grants.functions.logging = false;
        rig.grants.functions.metrics = false;
        let (_, outcome) = succeeds(rig);
        assert!(outcome.services.logs.lock().unwrap().is_empty());
        assert!(outcome.services.metrics.lock().unwrap().is_empty());
    }
}

// ---- Answers --------------------------------------------------------------------------------------

#[test]
fn wait_for_thousands() {
    let (error, _) = fails_with(Rig::source("wait_for_thousands").count(5_000), "guest_trapped");
    assert!(error.message.contains("`wait` with 5000 interests, at most 1024"), "{error}");
}

#[test]
fn garbage_catalog() {
    let mut rig = Rig::source("garbage_catalog");
    rig.phase = RunPhase::Discover;
    let (error, _) = fails_with(rig, "catalog_schema");
    assert!(error.message.contains("`orders`"), "{error}");
}

#[test]
fn no_catalog() {
    let mut rig = Rig::source("no_catalog");
    rig.phase = RunPhase::Discover;
    fails_with(rig, "contract_violated");
}

#[test]
fn wrong_role_info() {
    fails_with(Rig::source("wrong_role_info"), "contract_violated");
}

#[test]
fn wrong_version() {
    let (error, _) = fails_with(Rig::source("wrong_version"), "contract_violated");
    assert!(error.message.contains("3.9.0"), "{error}");
}

// ---- Every behaviour has a test -------------------------------------------------------------------

#[path = "guests/src/names.rs"]
mod names;

macro_rules! must_be_tested {
    ($($name:ident),+ $(,)?) => { $(const _: fn() = $name;)+ };
}
hostile_sources!(must_be_tested);
hostile_destinations!(must_be_tested);
