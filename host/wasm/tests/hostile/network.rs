//! Connections that were not granted, by name, by address, by DNS, by another interface, in the clear.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use async_trait::async_trait;
use rapidbyte_core::grants::{Endpoint, TlsRequirement};
use rapidbyte_wasm::Resolver;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

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
pub fn connect() {
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
pub fn connect_to_nobody_is_an_error_of_the_network() {
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
pub fn connect_many() {
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
pub fn peer_never_answers() {
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
pub fn wasi_sockets() {
    block_on(async {
        let (listener, port) = listener().await;
        // Even what host-io may reach.
        let (_, outcome) = Rig::source("wasi_sockets").endpoint("127.0.0.1", port).succeeds().await;
        assert_eq!(outcome.services.messages(), ["connect: refused", "bind: refused", "lookup: refused"]);
        nobody_came(&listener).await;
    });
}

#[test]
pub fn plain_text_before_tls() {
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
pub fn tls_where_the_manifest_says_none() {
    block_on(async {
        let (_listener, port) = listener().await;
        let mut rig = Rig::source("plain_text_before_tls").endpoint("127.0.0.1", port).text("start_tls");
        rig.grants.tls = TlsRequirement::None;
        assert_eq!(rig.fails().await.0.code, "tls_not_granted");
    });
}
