//! What honest guests get from the host, service by service. The list at the end makes a behaviour without a test a
//! compile error.

mod harness;

use std::sync::Arc;

use harness::*;
use rapidbyte_core::channel::Event;
use rapidbyte_core::*;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

fn succeeds(rig: Rig) -> (RunSummary, Outcome) {
    let mut ended = None;
    block_on(async { ended = Some(rig.succeeds().await) });
    ended.unwrap()
}

// ---- Batches --------------------------------------------------------------------------------------

#[test]
fn echo() {
    let (summary, mut outcome) = succeeds(Rig::source("echo").frames([frame_hex(1, 3), frame_hex(4, 5)]));
    assert_eq!(summary.read.unwrap().records, 8);
    let emitted: Vec<_> = outcome.emitted().iter().map(|frame| frame.decode().unwrap()).collect();
    assert_eq!(emitted, [batch(1, 3), batch(4, 5)]);
    let checkpoints = outcome.services.checkpoints.lock().unwrap();
    assert_eq!(checkpoints.len(), 2);
    assert_eq!(checkpoints[0].stream, "stream", "the host knows which stream runs");
    assert_eq!(checkpoints[1].cursor, Some(Cursor { field: "id".into(), value: CursorValue::Int64(1) }));
    for point in ["source.frame.from-ipc", "source.batch-emit", "source.telemetry-checkpoint"] {
        assert!(outcome.services.reached(point), "{point}");
    }
    assert!(outcome.peak > 0);
}

#[test]
fn echo_discovers() {
    let mut rig = Rig::source("echo");
    rig.phase = RunPhase::Discover;
    let (summary, _) = succeeds(rig);
    let stream = &summary.catalog.unwrap().streams[0];
    assert_eq!(stream.name, "numbers");
    assert_eq!(frame::decode_schema(&stream.schema).unwrap(), *schema());
}

#[test]
fn busy_then_echo() {
    succeeds(Rig::source("busy_then_echo").frames([frame_hex(1, 3)]).count(100));
}

#[test]
fn forged_session() {
    succeeds(Rig::source("forged_session"));
}

#[test]
fn from_json() {
    let rows = "{\"id\": 1, \"name\": \"name 1\"}\n{\"id\": 2, \"name\": \"name 2\"}\n";
    let (summary, mut outcome) = succeeds(Rig::source("from_json").text(rows));
    assert_eq!(summary.read.unwrap().records, 2);
    assert_eq!(outcome.emitted()[0].decode().unwrap(), batch(1, 2));
    // No rows are an empty frame, not an error.
    assert_eq!(succeeds(Rig::source("from_json")).0.read.unwrap().records, 0);
}

#[test]
fn from_json_refuses_what_does_not_fit() {
    for rows in
        ["{\"id\": \"x\"}", "{\"id\": 1, \"other\": 2}", "{\"name\": \"without id\"}", "[1]", "{\"id\": 1"]
    {
        block_on(async {
            let (error, _) = Rig::source("from_json").text(rows).fails().await;
            assert_eq!(
                (error.category, error.code.as_str()),
                (ErrorCategory::Frame, "json_malformed"),
                "{rows}"
            );
        });
    }
    block_on(async {
        let mut rig = Rig::source("from_json").text("{}");
        rig.config.schema = "ff".repeat(40);
        assert_eq!(rig.fails().await.0.code, "frame_malformed");
    });
}

#[test]
fn to_json() {
    let (_, outcome) = succeeds(Rig::destination("to_json"));
    let said = outcome.services.messages();
    assert!(said[0].starts_with("{\"id\":10,\"name\":\"name 10\"}\n"), "{said:?}");
}

#[test]
fn take_all() {
    let (summary, outcome) = succeeds(Rig::destination("take_all"));
    assert_eq!(summary.write.unwrap().records, 6);
    let ids: Vec<_> = outcome.services.checkpoints.lock().unwrap().iter().map(|event| event.id).collect();
    assert_eq!(ids, [1, 2]);
}

#[test]
fn try_take_all() {
    block_on(async {
        // Filled while the guest waits for it.
        let (sender, receiver) =
            rapidbyte_core::channel::channel(rapidbyte_core::channel::Bounds { bytes_max: 1, frames_max: 1 });
        let mut rig = Rig::destination("try_take_all");
        rig.inlet = Some(receiver);
        let sending = tokio::spawn(async move {
            for id in 0..50 {
                sender.send(Event::Frame(frame(id, 2))).await.unwrap();
                tokio::task::yield_now().await;
            }
            sender.finish().unwrap();
        });
        assert_eq!(rig.succeeds().await.0.write.unwrap().records, 100);
        sending.await.unwrap();
    });
}

#[test]
fn a_source_that_vanishes_is_not_an_end() {
    block_on(async {
        let (sender, receiver) =
            rapidbyte_core::channel::channel(rapidbyte_core::channel::Bounds { bytes_max: 1, frames_max: 1 });
        drop(sender);
        let mut rig = Rig::destination("take_all");
        rig.inlet = Some(receiver);
        assert_eq!(rig.fails().await.0.code, "upstream_gone");
    });
}

#[test]
fn receipt() {
    let (_, outcome) = succeeds(Rig::destination("receipt"));
    assert_eq!(outcome.services.messages(), ["CheckpointReply::Resume"]);
    let checkpoints = outcome.services.checkpoints.lock().unwrap();
    assert_eq!((checkpoints[0].kind, checkpoints[0].id), (CheckpointKind::Receipt, 5));
}

#[test]
fn pass_on() {
    let mut rig = Rig::new(ConnectorRole::Transform, "pass_on");
    rig.inlet = Some(filled_inlet());
    let (summary, mut outcome) = succeeds(rig);
    assert_eq!(summary.transform.unwrap().records_out, 6);
    assert_eq!(outcome.emitted().len(), 2);
    let checkpoints = outcome.services.checkpoints.lock().unwrap();
    assert!(checkpoints.iter().all(|event| event.kind == CheckpointKind::Transform));
}

#[test]
fn try_emit() {
    block_on(async {
        let mut rig = Rig::source("try_emit").frames([frame_hex(1, 3)]).count(50);
        rig.outlet_bytes = 1;
        let mut started = rig.start().await;
        let mut outlet = std::mem::replace(&mut started.outlet, filled_inlet());
        let services = started.services.clone();
        let taking = tokio::spawn(async move {
            while !services.reached("source.wait") {
                tokio::task::yield_now().await;
            }
            let mut frames = 0;
            while let Ok(Event::Frame(_)) = outlet.recv().await {
                frames += 1;
                tokio::task::yield_now().await;
            }
            frames
        });
        let summary = started.run().await.unwrap();
        assert_eq!(summary.read.unwrap().records, 50);
        assert_eq!(started.services.messages(), ["full true"]);
        drop(started);
        assert_eq!(taking.await.unwrap(), 50);
    });
}

#[test]
fn dead_letters() {
    let rig = Rig::source("dead_letters").frames([frame_hex(1, 3)]).text("birthday of hunter2-secret");
    rig.redactor.register("hunter2-secret");
    let (_, outcome) = succeeds(rig);
    let letters = outcome.services.letters.lock().unwrap();
    assert_eq!(letters[0].0.records(), 3);
    assert_eq!(letters[0].1[0].message, "birthday of ***");
}

// ---- State, telemetry, cancellation ---------------------------------------------------------------

#[test]
fn state() {
    succeeds(Rig::source("state"));
}

#[test]
fn telemetry() {
    let (_, outcome) = succeeds(Rig::source("telemetry"));
    assert_eq!(*outcome.services.progress.lock().unwrap(), (7, 70));
    let metrics = outcome.services.metrics.lock().unwrap();
    assert_eq!(metrics[0].value, MetricValue::Counter(2));
    assert_eq!(outcome.services.messages(), ["committed None"]);
}

#[test]
fn waits_for_cancel() {
    block_on(async {
        let mut rig = Rig::source("waits_for_cancel");
        let mut started = rig.start().await;
        let services = started.services.clone();
        let cancelling = tokio::spawn(async move {
            while services.messages().is_empty() {
                tokio::task::yield_now().await;
            }
            services.cancelled.send_replace(true);
        });
        started.run().await.unwrap();
        cancelling.await.unwrap();
    });
}

#[test]
fn until_cancelled() {
    block_on(async {
        let mut rig = Rig::source("until_cancelled").frames([frame_hex(1, 3)]);
        rig.outlet_bytes = 1;
        let mut started = rig.start().await;
        let mut outlet = std::mem::replace(&mut started.outlet, filled_inlet());
        let services = started.services.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                outlet.recv().await.unwrap();
            }
            services.cancelled.send_replace(true);
            while outlet.recv().await.is_ok() {}
        });
        assert!(started.run().await.unwrap().read.unwrap().records >= 30);
    });
}

// ---- Network --------------------------------------------------------------------------------------

/// Sends back what it receives, one connection after another.
async fn echo_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    port
}

#[test]
fn tcp_echo() {
    block_on(async {
        let port = echo_server().await;
        for host in ["127.0.0.1", "localhost"] {
            Rig::source("tcp_echo").endpoint(host, port).count(3_000_000).succeeds().await;
        }
    });
}

#[test]
fn http_get() {
    block_on(async {
        let server = HttpServer::start(|_| answer("200 OK", "", &"x".repeat(100_000))).await;
        let (summary, outcome) = Rig::source("http_get")
            .endpoint("127.0.0.1", server.port)
            .text(server.url("/a?b=c"))
            .succeeds()
            .await;
        assert_eq!(summary.read.unwrap().records, 100_000);
        assert!(outcome.services.reached("source.http-request"));
        let asked = server.asked();
        assert!(asked[0].starts_with("GET /a?b=c HTTP/1.1\r\n"), "{asked:?}");
        assert!(asked[0].contains(&format!("host: 127.0.0.1:{}\r\n", server.port)), "{asked:?}");
    });
}

#[test]
fn waits() {
    block_on(async {
        let port = echo_server().await;
        Rig::source("waits").endpoint("127.0.0.1", port).succeeds().await;
    });
}

#[test]
fn only_waits_for_the_network_are_remote_ones() {
    block_on(async {
        let port = echo_server().await;
        let mut started = Rig::source("tcp_echo").endpoint("127.0.0.1", port).count(3_000_000).start().await;
        started.run().await.unwrap();
        assert!(!started.instance.remote_waits().unwrap().timeline().total().is_zero());

        // This one waits as well, but for room in the channel behind it.
        let mut rig = Rig::source("until_cancelled").frames([frame_hex(1, 3)]);
        rig.outlet_bytes = 1;
        let mut started = rig.start().await;
        let mut outlet = std::mem::replace(&mut started.outlet, filled_inlet());
        let services = started.services.clone();
        let taking = tokio::spawn(async move {
            for _ in 0..10 {
                outlet.recv().await.unwrap();
            }
            let gauge = outlet.gauge();
            services.cancelled.send_replace(true);
            while outlet.recv().await.is_ok() {}
            gauge
        });
        started.run().await.unwrap();
        assert!(started.instance.remote_waits().unwrap().timeline().total().is_zero());
        drop(started);
        assert!(!taking.await.unwrap().sender_waits().total().is_zero());
    });
}

#[test]
fn tcp_download() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let chunk = vec![7; 1 << 20];
            for _ in 0..64 {
                stream.write_all(&chunk).await.unwrap();
            }
            stream.shutdown().await.unwrap();
            let _ = stream.read(&mut [0]).await;
        });
        let (summary, _) = Rig::source("tcp_download").endpoint("127.0.0.1", port).succeeds().await;
        assert_eq!(summary.read.unwrap().records, 64 * MIB);
    });
}

struct TlsServer {
    port: u16,
    roots_pem: String,
    certificate: Vec<u8>,
}

/// An echo server behind TLS whose certificate is for `localhost`, by a root of its own.
async fn tls_server() -> TlsServer {
    let root_key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::new(vec![]).unwrap();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, root_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &root).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = vec![b"byte".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let (mut read, mut write) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    TlsServer { port, roots_pem: root.pem(), certificate: certificate.der().to_vec() }
}

fn tls_rig(server: &TlsServer, behaviour: &str, verification_and_name: &str, roots: Option<&str>) -> Rig {
    let mut rig = Rig::source(behaviour).endpoint("127.0.0.1", server.port).text(verification_and_name);
    rig.config.paths = roots.map(str::to_owned).into_iter().collect();
    rig
}

#[test]
fn tls_echo() {
    block_on(async {
        let server = tls_server().await;
        let rig = tls_rig(&server, "tls_echo", "full localhost", Some(&server.roots_pem)).count(3_000_000);
        let (_, outcome) = rig.succeeds().await;
        let binding = Sha256::digest(&server.certificate).to_vec();
        assert_eq!(outcome.services.messages(), [format!("alpn Some(\"byte\") binding Some({binding:?})")]);
        // With TLS required, everything after the handshake is as good.
        let mut rig = tls_rig(&server, "tls_echo", "full localhost", Some(&server.roots_pem)).count(100_000);
        rig.grants.tls = grants::TlsRequirement::Required;
        rig.succeeds().await;
    });
}

#[test]
fn tls_probe() {
    block_on(async {
        let server = tls_server().await;
        let other = tls_server().await;
        let own = Some(server.roots_pem.as_str());
        let strange = Some(other.roots_pem.as_str());
        for (verification, roots, error) in [
            ("full localhost", own, None),
            ("full other.example", own, Some("tls_certificate")),
            ("full localhost", strange, Some("tls_certificate")),
            // The system does not know this root.
            ("full localhost", None, Some("tls_certificate")),
            ("chain other.example", own, None),
            ("chain localhost", strange, Some("tls_certificate")),
            ("chain localhost", None, Some("tls_certificate")),
            ("none other.example", None, None),
            ("none localhost", strange, None),
            ("full localhost", Some("no PEM"), Some("tls_roots")),
            ("full not a name", own, Some("tls_server_name")),
        ] {
            let outcome = tls_rig(&server, "tls_probe", verification, roots).run().await;
            let code = outcome.result.err().map(|error| error.code);
            assert_eq!(code.as_deref(), error, "{verification}");
        }
    });
}

#[test]
fn tls_with_a_server_that_does_not_speak_it() {
    block_on(async {
        let port = echo_server().await;
        let server = TlsServer { port, roots_pem: String::new(), certificate: vec![] };
        let (error, _) = tls_rig(&server, "tls_probe", "none localhost", None).fails().await;
        assert_eq!((error.category, error.code.as_str()), (ErrorCategory::TransientNetwork, "tls_failed"));
    });
}

// ---- Every behaviour has a test -------------------------------------------------------------------

#[path = "guests/src/names.rs"]
mod names;

macro_rules! must_be_tested {
    ($($name:ident),+ $(,)?) => { $(const _: fn() = $name;)+ };
}
honest_sources!(must_be_tested);
honest_destinations!(must_be_tested);
honest_transforms!(must_be_tested);
