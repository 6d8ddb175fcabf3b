//! `wasi:http`: a real guest asks a real server, is refused what was not granted, and asks a recording.

mod harness;

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use harness::*;
use rapidbyte_core::grants::{Endpoint, TlsRequirement};
use rapidbyte_core::redact::Redactor;
use rapidbyte_wasm::Resolver;
use rapidbyte_wasm::faults::{FaultPlan, Import};
use rapidbyte_wasm::network::cassette::{Player, Recorder};

fn rig(url: &str) -> Rig {
    Rig::source("http_get").text(url)
}

/// What the guest is told when its request fails.
async fn refused(rig: Rig) -> String {
    let (error, _) = rig.fails().await;
    assert_eq!(error.code, "http_failed", "{error}");
    error.message
}

#[test]
fn what_was_not_granted_is_refused_and_never_reaches_the_server() {
    block_on(async {
        let server = HttpServer::start(|_| answer("200 OK", "", "secret")).await;
        let told = refused(rig(&server.url("/"))).await;
        assert_eq!(told, "ErrorCode::HttpRequestDenied");
        // Another port of a granted host is another endpoint.
        let told = refused(rig(&server.url("/")).endpoint("127.0.0.1", server.port ^ 1)).await;
        assert_eq!(told, "ErrorCode::HttpRequestDenied");
        // The way to where this program could be is not the way to this program.
        let told = refused(rig("https://127.0.0.1/").endpoint("127.0.0.1", server.port)).await;
        assert_eq!(told, "ErrorCode::HttpRequestDenied");
        assert_eq!(server.asked(), Vec::<String>::new());
    });
}

#[test]
fn each_step_of_a_redirect_is_checked() {
    block_on(async {
        let elsewhere = HttpServer::start(|_| answer("200 OK", "", "far")).await;
        let url = elsewhere.url("/there");
        let server = HttpServer::start(move |head| match head.starts_with("GET /again") {
            true => answer("302 Found", &format!("location: {url}\r\n"), ""),
            false => answer("200 OK", "", "near"),
        })
        .await;
        let (error, outcome) = rig(&server.url("/again")).endpoint("127.0.0.1", server.port).fails().await;
        assert_eq!(error.message, "ErrorCode::HttpRequestDenied");
        assert!(
            outcome.services.messages().contains(&"302 0".to_owned()),
            "{:?}",
            outcome.services.messages()
        );
        assert_eq!((server.asked().len(), elsewhere.asked().len()), (1, 0));

        let both = rig(&server.url("/again"))
            .endpoint("127.0.0.1", elsewhere.port)
            .endpoint("127.0.0.1", server.port);
        assert_eq!(both.succeeds().await.0.read.unwrap().records, 3);
        assert_eq!((server.asked().len(), elsewhere.asked().len()), (2, 1));
    });
}

/// Every name leads to this machine.
struct ToHere;

#[async_trait]
impl Resolver for ToHere {
    async fn resolve(&self, _: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Ok(vec![([127, 0, 0, 1], port).into()])
    }
}

#[test]
fn a_granted_name_may_not_lead_into_this_network() {
    block_on(async {
        let server = HttpServer::start(|_| answer("200 OK", "", "secret")).await;
        let url = format!("http://api.example.com:{}/", server.port);
        let mut rig = rig(&url);
        rig.engine = engine_with(Some(Arc::new(ToHere)));
        let host = "api.example.com".to_owned();
        rig.grants.endpoints.push(Endpoint { host, port: server.port, from_config: false });
        assert_eq!(refused(rig).await, "ErrorCode::DestinationIpProhibited");
        assert_eq!(server.asked(), Vec::<String>::new());
    });
}

#[test]
fn where_tls_is_required_nothing_goes_out_in_the_clear() {
    block_on(async {
        let server = HttpServer::start(|_| answer("200 OK", "", "secret")).await;
        let mut plain = rig(&server.url("/")).endpoint("127.0.0.1", server.port);
        plain.grants.tls = TlsRequirement::Required;
        assert_eq!(refused(plain).await, "ErrorCode::HttpRequestDenied");
        assert_eq!(server.asked().concat(), "");
        // And a server that does not speak TLS is not taken for one.
        let url = server.url("/").replace("http:", "https:");
        let told = refused(rig(&url).endpoint("127.0.0.1", server.port)).await;
        assert_eq!(told, "ErrorCode::TlsProtocolError");
    });
}

#[test]
fn what_goes_wrong_has_its_code() {
    block_on(async {
        let cases: [(&[u8], &str); 4] = [
            (b"", "ErrorCode::HttpResponseIncomplete"),
            (b"220 mail.example.com ESMTP\r\n", "ErrorCode::HttpProtocolError"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "body: None"),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "body: None"),
        ];
        for (bytes, expected) in cases {
            let server = HttpServer::start(move |_| bytes.to_vec()).await;
            let told = refused(rig(&server.url("/")).endpoint("127.0.0.1", server.port)).await;
            assert_eq!(told, expected, "{}", String::from_utf8_lossy(bytes));
            let port = server.port;
            server.stop().await;
            let told = refused(rig(&format!("http://127.0.0.1:{port}/")).endpoint("127.0.0.1", port)).await;
            assert_eq!(told, "ErrorCode::ConnectionRefused");
        }
    });
}

#[test]
fn what_was_recorded_is_played_without_a_network() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let redactor = Redactor::default();
        redactor.register("hunter22");
        let server = HttpServer::start(|_| answer("200 OK", "", "the password is hunter22")).await;
        let port = server.port;
        let of_this = |path: &str| format!("http://127.0.0.1:{port}{path}");
        let with = |network: Arc<dyn rapidbyte_wasm::Network>, path: &str| {
            let mut rig = rig(&of_this(path)).endpoint("127.0.0.1", port);
            rig.network = Some(network);
            rig
        };
        let recorder =
            Arc::new(Recorder::new(folder.path(), engine().network(), redactor.clone(), 7).unwrap());
        let (live, _) = with(recorder, "/second").succeeds().await;
        server.stop().await;

        let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let texts: String = files.map(|file| std::fs::read_to_string(file).unwrap()).collect();
        assert!(texts.contains("GET /second HTTP/1.1") && !texts.contains("hunter22"), "{texts}");

        let player = Arc::new(Player::open(folder.path(), redactor).unwrap());
        let (played, _) = with(player.clone(), "/second").succeeds().await;
        assert_eq!((live.read.unwrap().records, played.read.unwrap().records), (24, 24));
        // Another request than the recorded one is not answered.
        let (error, _) = with(player, "/third").fails().await;
        assert!(error.message.contains("cassette") || error.message.contains("recording"), "{error}");
    });
}

#[test]
fn faults_strike_requests_and_answers() {
    block_on(async {
        let server = HttpServer::start(|_| answer("200 OK", "", "0123456789")).await;
        let rig = |plan: &Arc<FaultPlan>| {
            let mut rig = rig(&server.url("/")).endpoint("127.0.0.1", server.port);
            rig.faults = Some(plan.clone());
            rig
        };
        let plan = Arc::new(FaultPlan::default());
        rig(&plan).succeeds().await;
        let calls = plan.calls();
        assert_eq!((calls[&Import::HttpRequest], calls[&Import::HttpResponse]), (1, 1));

        let cases = [
            ("http-request#1=refuse", "ErrorCode::ConnectionRefused"),
            ("http-request#1=reset", "ErrorCode::ConnectionTerminated"),
            (
                "http-request#1=host-error",
                "ErrorCode::InternalError(Some(\"the host failed in `http-request`\"))",
            ),
            ("http-response#1=reset", "body: None"),
            ("http-response#1=cut-short:4", "body: None"),
            ("http-response#1=cut-short:400", "body: None"),
        ];
        for (text, expected) in cases {
            let plan = Arc::new(FaultPlan::parse(text).unwrap());
            let (error, _) = rig(&plan).fails().await;
            assert_eq!((error.code.as_str(), error.message.as_str()), ("http_failed", expected), "{text}");
            assert_eq!(plan.fired().len(), 1, "{text}");
        }
        for (text, code) in [
            ("http-request#1=trap", "guest_trapped"),
            ("http-response#1=trap", "guest_trapped"),
            ("http-request#1=kill", "killed"),
            ("http-response#1=kill", "killed"),
        ] {
            let (error, _) = rig(&Arc::new(FaultPlan::parse(text).unwrap())).fails().await;
            assert_eq!(error.code, code, "{text}: {error}");
        }
        for text in ["http-request#1=delay:1", "http-response#1=delay:1"] {
            let (summary, _) = rig(&Arc::new(FaultPlan::parse(text).unwrap())).succeeds().await;
            assert_eq!(summary.read.unwrap().records, 10, "{text}");
        }
        // What is refused never comes to the server: one request without faults, and of the others those that were sent.
        let asked = server.asked().into_iter().filter(|head| !head.is_empty()).count();
        assert_eq!(asked, 1 + 3 + 2 + 2);
    });
}
