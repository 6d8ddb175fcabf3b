//! The `[trust]` section of `config.toml`, as it is written. What it means together with the registries is [`crate::policy`]'s
//! business.
//!
//! ```toml
//! [trust]
//! level = "warn"                       # of registries that no rule names
//! trusted-root = "trusted_root.json"   # Sigstore's, where there are identities
//!
//! [[trust.rule]]
//! registry = "acme"                    # an alias, or `oci://registry.example/acme`, or `dir:./registry`
//! namespace = "team"                   # only what lies below this path of it
//! level = "require"                    # the default of a rule
//! keys = ["keys/acme.pub"]             # files beside this one, or the PEM itself
//! identities = [{ issuer = "https://token.ci.example", subject = "https://git.example/acme/…" }]   # signs without a key
//! native-keys = ["keys/native.pub"]    # may also vouch for compiled code
//! require-conformance = true           # and a certificate of the conformance suite, signed by one of the keys
//! ```

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How much a signature is insisted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing is installed that nobody trusted has signed.
    Require,
    /// It is installed with a warning.
    Warn,
    /// Nobody looks.
    Off,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Require => "require",
            Level::Warn => "warn",
            Level::Off => "off",
        })
    }
}

/// The whole section.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrustConfig {
    /// Of registries that no rule names; `warn` where it is left out. The official registry has a rule of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The authorities and logs that identities are verified by: a `trusted_root.json` of Sigstore's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_root: Option<PathBuf>,
    /// The one that names the longest path of a package's registry holds, alone.
    #[serde(default, rename = "rule", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleConfig>,
}

/// Somebody who can log in, both parts exactly as in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IdentityConfig {
    pub issuer: String,
    pub subject: String,
}

/// Who may sign what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RuleConfig {
    pub registry: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(default = "require")]
    pub level: Level,
    /// Paths, or PEM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Who may sign without a key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<IdentityConfig>,
    /// Paths, or PEM, of keys that are trusted with compiled code, too, which no sandbox holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub native_keys: Vec<String>,
    #[serde(default)]
    pub require_conformance: bool,
}

fn require() -> Level {
    Level::Require
}
