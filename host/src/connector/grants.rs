//! What one connector of one pipeline may reach: what its manifest asks for, narrowed to what the pipeline's config names.

use std::path::{Path, PathBuf};

use rapidbyte_core::grants::{Endpoint, Folder, Grants};
use rapidbyte_pipeline::manifest::{FilesystemAccess, FilesystemPlace, FilesystemRequest};
use rapidbyte_pipeline::{CheckedConfig, Config, Diagnostic, Manifest, Span};
use serde_json::Value;
use url::{Host, Url};

use crate::settings::Environment;

/// The grants, and the config as the connector gets it: with paths made absolute, as it will see them.
pub struct Granted {
    pub grants: Grants,
    pub config: Value,
}

/// Computes the grants. `folder` is the document's, which paths in it are relative to.
pub fn grant(
    manifest: &Manifest,
    config: &Config,
    checked: &CheckedConfig,
    folder: &Path,
    environment: &Environment,
) -> Result<Granted, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut granted = Granted { grants: Grants::default(), config: checked.value.clone() };
    let grants = &mut granted.grants;
    grants.functions = manifest.host_functions();
    for name in &manifest.capabilities.env {
        if let Some(value) = environment(name) {
            grants.env.push((name.clone(), value));
        }
    }
    if let Some(network) = &manifest.capabilities.network {
        grants.tls = network.tls;
        grants.endpoints = network
            .allowed_hosts
            .iter()
            .map(|allowed| Endpoint { host: allowed.host.clone(), port: allowed.port, from_config: false })
            .collect();
        if network.runtime_hosts {
            match runtime_endpoint(&checked.with_defaults) {
                Some(endpoint) => grants.endpoints.push(endpoint),
                None => problems.push(
                    Diagnostic::error(
                        "no_endpoint",
                        config.span(),
                        format!(
                            "`{}` connects to where its config says, which has neither a `host` with a `port` nor a \
                             usable `url`",
                            manifest.name
                        ),
                    )
                    .help("set `host` and `port`, or a whole `url`, whichever its config schema has"),
                ),
            }
        }
    }
    for request in &manifest.capabilities.filesystem {
        if let Err(problem) = grant_folder(request, config, checked, folder, &mut granted) {
            problems.push(*problem);
        }
    }
    if problems.is_empty() { Ok(granted) } else { Err(problems) }
}

/// The endpoint that the config names: by `host` and `port`, or by a `url` whose scheme may stand for the port.
fn runtime_endpoint(config: &Value) -> Option<Endpoint> {
    let endpoint = |host: &str, port| Endpoint { host: host.to_owned(), port, from_config: true };
    if let Some(host) = config.get("host") {
        let port = u16::try_from(config.get("port")?.as_u64()?).ok()?;
        return Some(endpoint(host.as_str()?, port));
    }
    let url = Url::parse(config.get("url")?.as_str()?).ok()?;
    let port = url.port_or_known_default()?;
    match url.host()? {
        // Without the brackets that only a URL has.
        Host::Ipv6(address) => Some(endpoint(&address.to_string(), port)),
        host => Some(endpoint(&host.to_string(), port)),
    }
}

fn grant_folder(
    request: &FilesystemRequest,
    config: &Config,
    checked: &CheckedConfig,
    document_folder: &Path,
    granted: &mut Granted,
) -> Result<(), Box<Diagnostic>> {
    let writable = request.access == FilesystemAccess::ReadWrite;
    let (path, span, key) = match &request.place {
        FilesystemPlace::Path(path) => (PathBuf::from(path), config.span(), None),
        FilesystemPlace::Config(key) => {
            let span = config.get(key).map_or(config.span(), |node| node.span);
            let Some(text) = checked.with_defaults.get(key).and_then(Value::as_str) else { return Ok(()) };
            (document_folder.join(text), span, Some(key))
        }
    };
    let problem = |code, message| Box::new(Diagnostic::error(code, span, message));
    let (granted_folder, seen) = usable(&path, writable, span)?;
    if let Some(key) = key {
        let Some(text) = seen.to_str() else {
            return Err(problem("path_not_unicode", format!("`{}` is not valid Unicode", seen.display())));
        };
        if let Some(fields) = granted.config.as_object_mut() {
            fields.insert(key.clone(), text.into());
        }
    }
    granted.grants.folders.push(Folder { path: granted_folder, writable });
    Ok(())
}

/// The folder to grant and the path the connector is told: the folder itself, or the file in it.
fn usable(path: &Path, writable: bool, span: Span) -> Result<(PathBuf, PathBuf), Box<Diagnostic>> {
    let failed = |error: std::io::Error| {
        let problem =
            Diagnostic::error("path_not_usable", span, format!("cannot use `{}`: {error}", path.display()));
        Box::new(match error.kind() {
            std::io::ErrorKind::NotFound => problem.help("paths are relative to the pipeline document"),
            _ => problem,
        })
    };
    if writable {
        std::fs::create_dir_all(path).map_err(failed)?;
    }
    let seen = std::fs::canonicalize(path).map_err(failed)?;
    match seen.parent() {
        // A sandbox is given folders; of a single file it is the one that holds it.
        Some(parent) if seen.is_file() => Ok((parent.to_owned(), seen)),
        _ => Ok((seen.clone(), seen)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_names_an_endpoint_by_host_or_by_url() {
        let named = |config: &str| {
            runtime_endpoint(&serde_json::from_str(config).unwrap()).map(|it| (it.host, it.port))
        };
        let endpoint = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(named(r#"{"host": "db", "port": 5432}"#), endpoint("db", 5432));
        assert_eq!(named(r#"{"url": "https://user:word@api.example/v1?x=y"}"#), endpoint("api.example", 443));
        assert_eq!(named(r#"{"url": "http://[::1]:8080/"}"#), endpoint("::1", 8080));
        for nowhere in [
            "{}",
            r#"{"host": "db"}"#,
            r#"{"host": "db", "port": 65536}"#,
            r#"{"host": 7, "port": 1, "url": "http://elsewhere/"}"#,
            r#"{"url": "api.example"}"#,
            r#"{"url": "file:///etc/passwd"}"#,
            r#"{"url": "ftps://api.example/"}"#,
        ] {
            assert_eq!(named(nowhere), None, "{nowhere}");
        }
    }
}
