//! The way out: who may be connected to, by name and by address, and the connection itself. The check is here and
//! nowhere else; `imports` only calls it.
//!
//! Refuses to know: what travels.

pub mod cassette;
mod certificate;
mod direct;
mod socket;
mod tls;
mod transport;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use rapidbyte_core::grants::{Endpoint, Grants};
use rapidbyte_core::limits::CONNECT_TIMEOUT_MS_MAX;
use rapidbyte_core::{ConnectorError, ErrorCategory};

use crate::limits::ADDRESSES_MAX;

pub use direct::SystemNetwork;
pub use socket::Socket;
pub use tls::{Info as TlsInfo, Options as TlsOptions, Verification};
pub use transport::{Dial, Network, Transport, TransportError};

/// Turns names into addresses. The host's own is [`SystemResolver`]; tests put theirs in its place.
#[async_trait]
pub trait Resolver: Send + Sync {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

pub(crate) fn network_error(code: &str, message: String) -> ConnectorError {
    ConnectorError::new(ErrorCategory::TransientNetwork, code, message)
}

/// Checks whether the endpoint was granted, and connects.
pub(crate) async fn connect(
    grants: &Grants,
    network: &dyn Network,
    connector: &str,
    host: &str,
    port: u16,
    timeout_ms: u32,
) -> Result<Socket, ConnectorError> {
    let grant = granted(grants, host, port).ok_or_else(|| {
        ConnectorError::permission(
            "endpoint_not_granted",
            format!("connecting to `{}` was not granted", display(host, port)),
        )
    })?;
    let timeout = Duration::from_millis(timeout_ms.clamp(1, CONNECT_TIMEOUT_MS_MAX).into());
    let transport = network.dial(Dial { connector, grant, host, port, timeout }).await?;
    Ok(Socket::new(transport, display(host, port), grants.tls))
}

/// The grant that covers a host and port. One from the pipeline's config comes first: it may lead further.
fn granted<'a>(grants: &'a Grants, host: &str, port: u16) -> Option<&'a Endpoint> {
    let covers = |endpoint: &&Endpoint| endpoint.port == port && host_matches(&endpoint.host, host);
    let endpoints = || grants.endpoints.iter().filter(covers);
    endpoints().find(|endpoint| endpoint.from_config).or_else(|| endpoints().next())
}

fn host_matches(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (bare(pattern), bare(host));
    match (pattern.parse::<IpAddr>(), host.parse::<IpAddr>()) {
        (Ok(granted), Ok(asked)) => return granted == asked,
        (Ok(_), _) | (_, Ok(_)) => return false,
        _ => {}
    }
    match pattern.strip_prefix("*.") {
        // One or more whole labels before the suffix.
        Some(suffix) => {
            let (pattern_len, host_len) = (suffix.len(), host.len());
            host_len > pattern_len + 1
                && host.is_char_boundary(host_len - pattern_len)
                && host[host_len - pattern_len..].eq_ignore_ascii_case(suffix)
                && host.as_bytes()[host_len - pattern_len - 1] == b'.'
        }
        None => pattern.eq_ignore_ascii_case(host),
    }
}

/// Without the root's dot of a name and the brackets of an address.
fn bare(host: &str) -> &str {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host)
}

fn display(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// The addresses that an endpoint may lead to.
fn reachable(endpoint: &Endpoint, resolved: &[SocketAddr], port: u16) -> Vec<SocketAddr> {
    resolved
        .iter()
        // A resolver answers addresses; the port is the granted one whatever it says.
        .map(|address| SocketAddr::new(address.ip(), port))
        .filter(|address| endpoint.from_config || is_public(address.ip()))
        .take(ADDRESSES_MAX)
        .collect()
}

/// Whether an address belongs to the public internet: nothing on this machine, in this network, or reserved.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(address) => is_public_v4(address),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocols = a == 192 && b == 0 && c == 0;
    let benchmarks = a == 198 && (18..20).contains(&b);
    !(a == 0
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || shared
        || protocols
        || benchmarks
        || a >= 224)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let global_unicast = segments[0] & 0xe000 == 0x2000;
    let documentation = segments[0] == 0x2001 && segments[1] == 0xdb8;
    global_unicast && !documentation
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64, 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] if high != 0 => Some(join(high, low)),
        [0x64, 0xff9b, _, _, _, _, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_whole_labels_only() {
        let cases = [
            ("api.example.com", "API.example.com.", true),
            ("api.example.com", "example.com", false),
            ("*.example.com", "api.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "evilexample.com", false),
            ("*.example.com", ".example.com", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("::1", "[0:0:0:0:0:0:0:1]", true),
            ("*.0.0.1", "10.0.0.1", false),
            ("localhost", "127.0.0.1", false),
        ];
        for (pattern, host, expected) in cases {
            assert_eq!(host_matches(pattern, host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn only_public_addresses_are_public() {
        for address in ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "240.0.0.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }
}
