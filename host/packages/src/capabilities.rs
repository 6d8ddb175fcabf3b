//! What a package may reach if it is installed, as a set that can be shown, kept in a lock and compared: from its manifest and
//! from what its component imports. An update that reaches further is a widening, whatever its version says.

use std::collections::BTreeSet;
use std::fmt;

use rapidbyte_core::grants::TlsRequirement;
use rapidbyte_pipeline::Manifest;
use rapidbyte_pipeline::manifest::{FilesystemAccess, FilesystemPlace, HostFunction};
use serde::{Deserialize, Serialize};

/// One thing that it may reach, in the words that people review: `network api.example.com:443 (tls required)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capability(String);

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything that it may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CapabilitySet(BTreeSet<Capability>);

impl CapabilitySet {
    /// What the manifest asks for, and the interfaces of the world outside that the component imports.
    pub fn of<'a>(manifest: &Manifest, imports: impl IntoIterator<Item = &'a str>) -> Self {
        let asked = &manifest.capabilities;
        let mut all = BTreeSet::new();
        let mut add = |text: String| {
            all.insert(Capability(text));
        };
        if let Some(network) = &asked.network {
            for host in &network.allowed_hosts {
                add(format!("network {}:{} ({})", host.host, host.port, tls(host.tls)));
            }
            if network.runtime_hosts {
                add(format!("network the endpoint in the pipeline's config ({})", tls(network.tls)));
            }
        }
        for function in &asked.host_functions {
            match function {
                // Every connector has these; they reach nothing.
                HostFunction::ArrowIpc | HostFunction::Logging | HostFunction::Metrics => {}
                HostFunction::StateRead => add("state read".to_owned()),
                HostFunction::StateWrite => add("state write".to_owned()),
            }
        }
        for name in &asked.env {
            add(format!("environment {name}"));
        }
        for request in &asked.filesystem {
            let access = match request.access {
                FilesystemAccess::Read => "read",
                FilesystemAccess::ReadWrite => "read-write",
            };
            match &request.place {
                FilesystemPlace::Config(key) => {
                    add(format!("files {access} the path in the config's `{key}`"))
                }
                FilesystemPlace::Path(path) => add(format!("files {access} {path}")),
            }
        }
        for import in imports {
            // The version says nothing of what is reached.
            let interface = import.split_once('@').map_or(import, |(interface, _)| interface);
            if let Some(word) = telling(interface) {
                add(format!("import {word}"));
            }
        }
        CapabilitySet(all)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Capability> {
        self.0.iter()
    }

    /// What is in this one and was not in `before`.
    pub fn widened_from<'a>(&'a self, before: &'a CapabilitySet) -> Vec<&'a Capability> {
        self.0.difference(&before.0).collect()
    }
}

fn tls(requirement: TlsRequirement) -> &'static str {
    match requirement {
        TlsRequirement::Required => "tls required",
        TlsRequirement::Optional => "tls optional",
        TlsRequirement::None => "no tls",
    }
}

/// Interfaces through which something outside is reached, under grants. All others (clocks, streams, random numbers, the
/// contract itself) tell a reviewer nothing.
fn telling(interface: &str) -> Option<&str> {
    const TELLING: [&str; 3] = ["wasi:sockets/", "wasi:http/outgoing-handler", "wasi:filesystem/preopens"];
    TELLING.iter().find(|prefix| interface.starts_with(**prefix)).map(|_| interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(capabilities: &str) -> Manifest {
        let text = format!(
            "name: source-a\nversion: 0.1.0\nrole: source\ndescription: A\nlicense: MIT\ntier: community\n\
             wasm: {{ entrypoint: a.wasm, target: wasm32-wasip2, contract: 4.0.0 }}\n\
             capabilities: {capabilities}\nlimits: {{ memory: 64mb, timeout: 1h }}\nstreams: discovery\n\
             sync_modes: [full_refresh]\n"
        );
        Manifest::from_yaml(&text, "rapidbyte-plugin.yaml").unwrap()
    }

    fn shown(capabilities: &CapabilitySet) -> Vec<String> {
        capabilities.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn everything_that_is_reached_is_named() {
        let asked = "{ network: { allowed_hosts: [{ host: api.example.com, port: 443, protocol: tcp, tls: required }], \
                     runtime_hosts: true, tls: optional }, host_functions: [arrow_ipc, state_read], env: [TOKEN], \
                     filesystem: [{ config: path, access: read }] }";
        let imports = ["wasi:http/outgoing-handler@0.2.6", "wasi:clocks/wall-clock@0.2.6"];
        let capabilities = CapabilitySet::of(&manifest(asked), imports);
        let expected = [
            "environment TOKEN",
            "files read the path in the config's `path`",
            "import wasi:http/outgoing-handler",
            "network api.example.com:443 (tls required)",
            "network the endpoint in the pipeline's config (tls optional)",
            "state read",
        ];
        assert_eq!(shown(&capabilities), expected);
        let json = serde_json::to_string(&capabilities).unwrap();
        assert_eq!(serde_json::from_str::<CapabilitySet>(&json).unwrap(), capabilities);
    }

    #[test]
    fn what_is_new_widens_and_what_is_gone_does_not() {
        let less = CapabilitySet::of(&manifest("{ host_functions: [state_read] }"), []);
        let more = CapabilitySet::of(&manifest("{ host_functions: [state_read, state_write] }"), []);
        assert_eq!(
            more.widened_from(&less).iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["state write"]
        );
        assert!(less.widened_from(&more).is_empty());
    }
}
