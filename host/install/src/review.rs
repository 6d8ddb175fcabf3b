//! What somebody has to look at before a package is installed, and what stops it whatever they say.

use rapidbyte_packages::lock::{Locked, Widening};
use rapidbyte_pipeline::Manifest;

use crate::error::InstallError;
use crate::limits::HOSTS_USUAL_MAX;
use crate::resolve::Candidate;

impl Candidate {
    /// As the lock will have it.
    pub fn locked(&self) -> Locked {
        let manifest = &self.described.manifest;
        Locked {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            source: self.source.clone(),
            manifest: self.described.digest,
            layer: self.described.layer.digest,
            world: format!("rapidbyte:connector/{}@{}", manifest.role, manifest.wasm.contract),
            signer: self.signer.clone(),
            capabilities: self.described.capabilities.clone(),
        }
    }

    /// How it differs, where somebody has to look, from what was agreed to before.
    pub fn widening(&self) -> Option<Widening> {
        self.before.as_ref()?.widening(&self.locked())
    }

    /// Whether somebody has to look at it: nobody has, or it is not what they saw.
    pub fn needs_review(&self) -> bool {
        !self.reviewed && (self.before.is_none() || self.widening().is_some())
    }

    /// Stops what reaches further than what was agreed to, or is signed by somebody else.
    pub fn must_not_widen(&self) -> Result<(), InstallError> {
        let Some(widening) = self.widening() else { return Ok(()) };
        let id = self.id();
        Err(match widening.signer.is_some() && widening.capabilities.is_empty() {
            true => InstallError::SignerChanged { id, widening },
            false => InstallError::Widened { id, widening },
        })
    }

    /// What is unusual about it.
    pub fn oddities(&self) -> Vec<String> {
        oddities(&self.described.manifest)
    }
}

/// What is unusual about what a manifest asks for.
pub fn oddities(manifest: &Manifest) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(network) = &manifest.capabilities.network {
        let hosts = &network.allowed_hosts;
        if hosts.len() > HOSTS_USUAL_MAX {
            found.push(format!("it asks for {} hosts", hosts.len()));
        }
        for host in hosts.iter().filter(|host| host.host.starts_with("*.")) {
            found.push(format!("`{}` stands for any name below it", host.host));
        }
        for host in hosts.iter().filter(|host| host.tls == rapidbyte_core::grants::TlsRequirement::None) {
            found.push(format!("it talks to `{}:{}` without encryption", host.host, host.port));
        }
    }
    for request in &manifest.capabilities.filesystem {
        if let rapidbyte_pipeline::manifest::FilesystemPlace::Path(path) = &request.place {
            found.push(format!("it asks for `{path}` of this machine, whatever the pipeline says"));
        }
    }
    found
}
