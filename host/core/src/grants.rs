//! What one instance may reach: manifest ∩ pipeline ∩ policy, computed by the façade, enforced by `rapidbyte-wasm`.
//! The default grants nothing.

use std::path::PathBuf;

/// Everything granted to an instance.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    pub endpoints: Vec<Endpoint>,
    pub tls: TlsRequirement,
    pub folders: Vec<Folder>,
    /// Environment variables the guest sees, by name and value.
    pub env: Vec<(String, String)>,
    pub functions: HostFunctions,
}

/// One endpoint that may be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address, as the guest will ask for it; `*.example.com` covers the names below `example.com`.
    pub host: String,
    pub port: u16,
    /// The user wrote this very host in the pipeline's config, so it may lead to loopback, private or link-local
    /// addresses. A manifest's static endpoint may not.
    pub from_config: bool,
}

/// The manifest's word on TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsRequirement {
    /// Nothing is sent or received before `tcp-start-tls` succeeded, but for the fixed preambles of protocols that
    /// upgrade (PostgreSQL's SSLRequest).
    Required,
    #[default]
    Optional,
    /// `tcp-start-tls` is refused.
    None,
}

/// One folder of this machine that the guest may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Absolute; the guest sees it under the very same path.
    pub path: PathBuf,
    pub writable: bool,
}

/// The optional host functions of the manifest's `host_functions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostFunctions {
    pub state_read: bool,
    pub state_write: bool,
    pub logging: bool,
    pub metrics: bool,
}
