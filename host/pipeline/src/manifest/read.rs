//! Node tree → manifest.

use std::net::IpAddr;

use rapidbyte_core::contract::PROTOCOL_VERSION;

use super::*;
use crate::diagnostic::Diagnostic;
use crate::interpolate;
use crate::limits::{CONNECTOR_NAME_BYTES_MAX, STREAM_NAME_BYTES_MAX};
use crate::node::{Kind, Node, shorten};
use crate::quantity::format_bytes;
use crate::reader::{Keys, Reader, Section};
use crate::span::Span;

const MIB: u64 = 1024 * 1024;
/// `limits.memory` of a manifest that does not say.
pub(super) const MEMORY_BYTES_DEFAULT: u64 = 256 * MIB;
/// Less holds no runtime and no batch.
const MEMORY_BYTES_MIN: u64 = MIB;
/// What 32-bit addresses reach.
const MEMORY_BYTES_MAX: u64 = 4096 * MIB;
/// A week: who needs longer is not silent but stuck.
const TIMEOUT_MS_MAX: u64 = 7 * 24 * 3600 * 1000;
const TEXT_BYTES_MAX: usize = 4096;

const MANIFEST: Keys = Keys::of(&[
    "name",
    "version",
    "role",
    "description",
    "author",
    "license",
    "tier",
    "wasm",
    "capabilities",
    "limits",
    "streams",
    "sync_modes",
    "write_modes",
    "config_schema",
    "conformance",
]);
const CONFORMANCE: Keys = Keys::of(&["exempt"]);
const EXEMPTION: Keys = Keys::of(&["clause", "reason"]);
const WASM: Keys = Keys::of(&["entrypoint", "target", "contract", "minimum_engine"]);
const CAPABILITIES: Keys = Keys::of(&["network", "host_functions", "env", "filesystem"]);
const NETWORK: Keys = Keys::of(&["allowed_hosts", "runtime_hosts", "tls"]);
const ALLOWED_HOST: Keys = Keys::of(&["host", "port", "protocol", "tls"]);
const FILESYSTEM: Keys = Keys::of(&["config", "path", "access"]);
const LIMITS: Keys = Keys::of(&["memory", "timeout"]);

const TLS: &[(&str, TlsRequirement)] = &[
    ("required", TlsRequirement::Required),
    ("optional", TlsRequirement::Optional),
    ("none", TlsRequirement::None),
];
const HOST_FUNCTIONS: &[(&str, HostFunction)] = &[
    ("arrow_ipc", HostFunction::ArrowIpc),
    ("state_read", HostFunction::StateRead),
    ("state_write", HostFunction::StateWrite),
    ("logging", HostFunction::Logging),
    ("metrics", HostFunction::Metrics),
];
const ACCESS: &[(&str, FilesystemAccess)] =
    &[("read", FilesystemAccess::Read), ("read_write", FilesystemAccess::ReadWrite)];

const PLACE: &str = "the manifest";

pub(super) fn read_manifest(reader: &mut Reader<'_>, root: &Node) -> Option<Manifest> {
    let start = root.entries().first().map_or(root.span, |entry| entry.key.span);
    let section = reader.section(root, PLACE, start, MANIFEST)?;

    let name = reader.required(section, PLACE, "name").and_then(|node| read_name(reader, node));
    let version =
        reader.required(section, PLACE, "version").and_then(|node| read_version(reader, node, "`version`"));
    let roles: Vec<_> = ConnectorRole::ALL.iter().map(|role| (role.as_str(), *role)).collect();
    let role = reader.required(section, PLACE, "role").and_then(|node| reader.word(node, "`role`", &roles));
    let mut text = |key: &str, required: bool| {
        let node = if required { reader.required(section, PLACE, key) } else { section.get(key) };
        node.and_then(|node| reader.name(node, &format!("`{key}`"), TEXT_BYTES_MAX)).map(|text| text.value)
    };
    let description = text("description", true);
    let author = text("author", false);
    let license = text("license", true);
    let tiers = &[("official", Tier::Official), ("community", Tier::Community), ("partner", Tier::Partner)];
    let tier = section.get("tier").and_then(|node| reader.word(node, "`tier`", tiers));
    let wasm = reader.required(section, PLACE, "wasm").and_then(|node| read_wasm(reader, node, section));
    let capabilities = match section.entry("capabilities") {
        Some(entry) => read_capabilities(reader, &entry.value, entry.key.span),
        None => Some(Capabilities::default()),
    };
    let limits = read_limits(reader, section);
    let config_schema = match section.get("config_schema") {
        Some(node) => ConfigSchema::read(reader, node),
        None => None,
    };
    let conformance = read_conformance(reader, section);
    let role = role?.value;
    let streams = read_streams(reader, section, role);
    let sync_words: Vec<_> = SyncMode::ALL.iter().map(|mode| (mode.as_str(), *mode)).collect();
    let sync_modes = read_modes(reader, section, "sync_modes", &sync_words, role, ConnectorRole::Source);
    let write_words: Vec<_> = WriteMode::ALL.iter().map(|mode| (mode.as_str(), *mode)).collect();
    let write_modes =
        read_modes(reader, section, "write_modes", &write_words, role, ConnectorRole::Destination);

    let manifest = Manifest {
        name: name?,
        version: version?,
        role,
        description: description?,
        author,
        license: license?,
        tier: tier.map_or(Tier::Community, |tier| tier.value),
        wasm: wasm?,
        capabilities: capabilities?,
        limits: limits?,
        streams,
        sync_modes,
        write_modes,
        config_schema,
        conformance,
    };
    check_config_keys(reader, section, &manifest);
    Some(manifest)
}

fn read_name(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let name = reader.name(node, "`name`", CONNECTOR_NAME_BYTES_MAX)?;
    let sound = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && name.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && !name.ends_with('-')
        && !name.contains("--");
    if sound {
        return Some(name.value);
    }
    let message = format!("{} cannot name a connector", reader.shown(node));
    reader.error(
        Diagnostic::error("invalid_name", node.span, message)
            .help("a name is made of lower-case letters, digits and single `-`: `source-postgres`"),
    );
    None
}

fn read_version(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Version> {
    let text = reader.name(node, what, CONNECTOR_NAME_BYTES_MAX)?;
    match Version::parse(&text) {
        Ok(version) => Some(version),
        Err(error) => {
            let message = format!("{what} must be a semantic version, not {}: {error}", reader.shown(node));
            let error = Diagnostic::error("invalid_version", node.span, message);
            reader.error(error.help("write three numbers: `1.0.0`"));
            None
        }
    }
}

fn read_wasm(reader: &mut Reader<'_>, node: &Node, manifest: Section<'_>) -> Option<WasmSpec> {
    let at = manifest.entry("wasm").map_or(manifest.at, |entry| entry.key.span);
    let section = reader.section(node, "`wasm`", at, WASM)?;
    let entrypoint = reader
        .required(section, "`wasm`", "entrypoint")
        .and_then(|node| Some((node, reader.name(node, "`wasm.entrypoint`", TEXT_BYTES_MAX)?)));
    let entrypoint = entrypoint.and_then(|(node, path)| {
        // It is joined to folders of ours, so it must not lead out of them.
        let inside = !path.starts_with('/')
            && !path.contains(['\\', ':'])
            && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if inside && path.ends_with(".wasm") {
            return Some(path.value);
        }
        let message = format!("`wasm.entrypoint` cannot be {}", reader.shown(node));
        reader.error(
            Diagnostic::error("invalid_value", node.span, message)
                .help("name the component's file, without leading `/` or `..`: `source_postgres.wasm`"),
        );
        None
    });
    let target = match section.get("target") {
        Some(node) => reader.word(node, "`wasm.target`", &[(TARGET, TARGET)]).map(|word| word.value),
        None => Some(TARGET),
    };
    let contract = match section.get("contract") {
        Some(node) => read_contract(reader, node),
        None => Some(PROTOCOL_VERSION.to_owned()),
    };
    let minimum_engine = match section.get("minimum_engine") {
        Some(node) => Some(read_version(reader, node, "`wasm.minimum_engine`")?),
        None => None,
    };
    Some(WasmSpec {
        entrypoint: entrypoint?,
        target: target?.to_owned(),
        contract: contract?,
        minimum_engine,
    })
}

/// `4.0.0` or `rapidbyte:connector@4.0.0`.
fn read_contract(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.name(node, "`wasm.contract`", TEXT_BYTES_MAX)?;
    let version = text.strip_prefix(CONTRACT).and_then(|rest| rest.strip_prefix('@')).unwrap_or(&text);
    if version == PROTOCOL_VERSION {
        return Some(version.to_owned());
    }
    let message = format!("the contract {} is not the one this version speaks", reader.shown(node));
    reader.error(
        Diagnostic::error("unsupported_contract", node.span, message)
            .help(format!("build the connector against `{CONTRACT}@{PROTOCOL_VERSION}`")),
    );
    None
}

fn read_capabilities(reader: &mut Reader<'_>, node: &Node, at: Span) -> Option<Capabilities> {
    let section = reader.section(node, "`capabilities`", at, CAPABILITIES)?;
    let network = match section.entry("network").filter(|entry| !entry.value.is_null()) {
        Some(entry) => Some(read_network(reader, &entry.value, entry.key.span)?),
        None => None,
    };
    let mut host_functions = Vec::new();
    if let Some(node) = section.get("host_functions") {
        for item in reader.list(node, "`host_functions`")? {
            if let Some(word) = reader.word(item, "a host function", HOST_FUNCTIONS)
                && !host_functions.contains(&word.value)
            {
                host_functions.push(word.value);
            }
        }
    }
    let mut env = Vec::new();
    if let Some(node) = section.get("env") {
        for name in reader.names(node, "`env`", TEXT_BYTES_MAX)? {
            if !interpolate::is_name(&name) {
                let message = format!("`{}` cannot name an environment variable", shorten(&name));
                let help = "name each variable: wildcards are not possible";
                reader.error(Diagnostic::error("invalid_name", name.span, message).help(help));
            }
            env.push(name.value);
        }
    }
    let mut filesystem = Vec::new();
    if let Some(node) = section.get("filesystem") {
        for item in reader.list(node, "`filesystem`")? {
            filesystem.extend(read_folder(reader, item));
        }
    }
    Some(Capabilities { network, host_functions, env, filesystem })
}

fn read_network(reader: &mut Reader<'_>, node: &Node, at: Span) -> Option<Network> {
    let section = reader.section(node, "`network`", at, NETWORK)?;
    let tls = match section.get("tls") {
        Some(node) => reader.word(node, "`network.tls`", TLS).map(|word| word.value).unwrap_or_default(),
        None => TlsRequirement::default(),
    };
    let runtime_hosts = match section.get("runtime_hosts") {
        Some(node) => reader.boolean(node, "`runtime_hosts`").unwrap_or_default(),
        None => false,
    };
    let mut allowed_hosts = Vec::new();
    if let Some(node) = section.get("allowed_hosts") {
        for item in reader.list(node, "`allowed_hosts`")? {
            allowed_hosts.extend(read_host(reader, item, tls));
        }
    }
    Some(Network { allowed_hosts, runtime_hosts, tls })
}

fn read_host(reader: &mut Reader<'_>, node: &Node, tls: TlsRequirement) -> Option<AllowedHost> {
    const PLACE: &str = "an allowed host";
    let start = node.entries().first().map_or(node.span, |entry| entry.key.span);
    let section = reader.section(node, PLACE, start, ALLOWED_HOST)?;
    let host = reader
        .required(section, PLACE, "host")
        .and_then(|node| Some((node, reader.name(node, "`host`", 255)?)))
        .and_then(|(node, host)| {
            if is_host(&host) {
                return Some(host.value.to_ascii_lowercase());
            }
            let message = format!("{} is neither a host's name nor an address", reader.shown(node));
            reader.error(
                Diagnostic::error("invalid_host", node.span, message)
                    .help("write `api.example.com`, `*.example.com` for the names below it, or an address"),
            );
            None
        });
    let port = reader
        .required(section, PLACE, "port")
        .and_then(|node| reader.integer(node, "`port`", 1, u64::from(u16::MAX)))
        .and_then(|port| u16::try_from(port.value).ok());
    let protocol = match section.get("protocol") {
        Some(node) => reader.word(node, "`protocol`", &[("tcp", Protocol::Tcp)]).map(|word| word.value),
        None => Some(Protocol::Tcp),
    };
    let tls = match section.get("tls") {
        Some(node) => reader.word(node, "`tls`", TLS).map(|word| word.value),
        None => Some(tls),
    };
    Some(AllowedHost { host: host?, port: port?, protocol: protocol?, tls: tls? })
}

/// A DNS name, `*.` and at least two labels, or an IP address.
fn is_host(host: &str) -> bool {
    if host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let (name, labels_min) = match host.strip_prefix("*.") {
        Some(rest) => (rest, 2),
        None => (host, 1),
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // What ends in a number is a mistyped address.
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    !numeric && name.split('.').count() >= labels_min && name.split('.').all(label)
}

fn read_folder(reader: &mut Reader<'_>, node: &Node) -> Option<FilesystemRequest> {
    const PLACE: &str = "a `filesystem` entry";
    let start = node.entries().first().map_or(node.span, |entry| entry.key.span);
    let section = reader.section(node, PLACE, start, FILESYSTEM)?;
    let access = match section.get("access") {
        Some(node) => reader.word(node, "`access`", ACCESS).map(|word| word.value),
        None => Some(FilesystemAccess::Read),
    };
    let place = match (section.get("config"), section.get("path")) {
        (Some(node), None) => FilesystemPlace::Config(reader.name(node, "`config`", TEXT_BYTES_MAX)?.value),
        (None, Some(node)) => {
            let path = reader.name(node, "`path`", TEXT_BYTES_MAX)?;
            let sound = path.starts_with('/') && path.len() > 1 && !path.split('/').any(|part| part == "..");
            if !sound {
                let message = format!("the path {} cannot be asked for", reader.shown(node));
                reader.error(
                    Diagnostic::error("invalid_value", node.span, message)
                        .help("write the folder's whole path, without `..`; `/` itself cannot be asked for"),
                );
                return None;
            }
            FilesystemPlace::Path(path.value)
        }
        _ => {
            reader.error(
                Diagnostic::error(
                    "missing_key",
                    section.at,
                    format!("{PLACE} needs either `config` or `path`"),
                )
                .help("`config` names the config key that holds the path; `path` is a fixed one"),
            );
            return None;
        }
    };
    Some(FilesystemRequest { place, access: access? })
}

fn read_limits(reader: &mut Reader<'_>, manifest: Section<'_>) -> Option<ConnectorLimits> {
    let mut limits = ConnectorLimits::default();
    let Some(entry) = manifest.entry("limits").filter(|entry| !entry.value.is_null()) else {
        return Some(limits);
    };
    let section = reader.section(&entry.value, "`limits`", entry.key.span, LIMITS)?;
    if let Some(node) = section.get("memory") {
        let memory = reader.bytes(node, "`limits.memory`")?;
        if !(MEMORY_BYTES_MIN..=MEMORY_BYTES_MAX).contains(&memory.value) {
            let message = format!("`limits.memory` cannot be {}", reader.shown(node));
            let (min, max) = (format_bytes(MEMORY_BYTES_MIN), format_bytes(MEMORY_BYTES_MAX));
            let help = format!("it must be between {min} and {max}");
            reader.error(Diagnostic::error("out_of_range", node.span, message).help(help));
        }
        limits.memory_bytes = memory.value;
    }
    if let Some(node) = section.get("timeout") {
        let timeout = reader.duration_ms(node, "`limits.timeout`")?;
        if !(1..=TIMEOUT_MS_MAX).contains(&timeout.value) {
            let message = format!("`limits.timeout` cannot be {}", reader.shown(node));
            let help = "it must be more than nothing and at most 7d";
            reader.error(Diagnostic::error("out_of_range", node.span, message).help(help));
        }
        limits.timeout_ms = timeout.value;
    }
    Some(limits)
}

fn read_conformance(reader: &mut Reader<'_>, manifest: Section<'_>) -> Conformance {
    let mut conformance = Conformance::default();
    let Some(entry) = manifest.entry("conformance").filter(|entry| !entry.value.is_null()) else {
        return conformance;
    };
    let section = reader.section(&entry.value, "`conformance`", entry.key.span, CONFORMANCE);
    let Some(node) = section.and_then(|section| section.get("exempt")) else { return conformance };
    for item in reader.list(node, "`exempt`").unwrap_or_default() {
        const PLACE: &str = "an exemption";
        let at = item.entries().first().map_or(item.span, |entry| entry.key.span);
        let Some(section) = reader.section(item, PLACE, at, EXEMPTION) else { continue };
        let mut text = |key: &str| {
            let node = reader.required(section, PLACE, key)?;
            reader.name(node, &format!("`{key}`"), TEXT_BYTES_MAX).map(|text| text.value)
        };
        if let (Some(clause), Some(reason)) = (text("clause"), text("reason")) {
            conformance.exempt.push(Exemption { clause, reason });
        }
    }
    conformance
}

fn read_streams(
    reader: &mut Reader<'_>,
    manifest: Section<'_>,
    role: ConnectorRole,
) -> Option<DeclaredStreams> {
    let entry = manifest.entry("streams");
    if role != ConnectorRole::Source {
        if let Some(entry) = entry {
            reader.error(misplaced("streams", entry.key.span, role, ConnectorRole::Source));
        }
        return None;
    }
    let Some(entry) = entry else { return Some(DeclaredStreams::Discovery) };
    match &entry.value.kind {
        Kind::Scalar(scalar) if scalar.raw() == "discovery" => Some(DeclaredStreams::Discovery),
        Kind::List(items) if !items.is_empty() => {
            let names = reader.names(&entry.value, "`streams`", STREAM_NAME_BYTES_MAX)?;
            Some(DeclaredStreams::Named(names.into_iter().map(|name| name.value).collect()))
        }
        _ => {
            let message = "`streams` must be `discovery` or a list of names";
            reader.error(Diagnostic::error("wrong_type", entry.key.span, message));
            None
        }
    }
}

/// `sync_modes` or `write_modes`: required of their role, refused of others.
fn read_modes<T: Copy + PartialEq>(
    reader: &mut Reader<'_>,
    manifest: Section<'_>,
    key: &'static str,
    words: &[(&'static str, T)],
    role: ConnectorRole,
    owner: ConnectorRole,
) -> Vec<T> {
    let mut modes = Vec::new();
    match manifest.entry(key) {
        Some(entry) if role != owner => reader.error(misplaced(key, entry.key.span, role, owner)),
        None if role == owner => {
            reader.error(Diagnostic::error(
                "missing_key",
                manifest.at,
                format!("{PLACE} of a {owner} lacks `{key}`"),
            ));
        }
        None => {}
        Some(entry) => {
            let items = reader.list(&entry.value, &format!("`{key}`")).unwrap_or_default();
            if items.is_empty() && matches!(entry.value.kind, Kind::List(_)) {
                reader.error(Diagnostic::error("empty_list", entry.key.span, format!("`{key}` is empty")));
            }
            for item in items {
                if let Some(mode) = reader.word(item, &format!("one of `{key}`"), words)
                    && !modes.contains(&mode.value)
                {
                    modes.push(mode.value);
                }
            }
        }
    }
    modes
}

fn misplaced(key: &str, span: Span, role: ConnectorRole, owner: ConnectorRole) -> Diagnostic {
    Diagnostic::error("misplaced_key", span, format!("`{key}` is for a {owner}, and this is a {role}"))
}

/// What capabilities say about config keys must be true of the schema.
fn check_config_keys(reader: &mut Reader<'_>, section: Section<'_>, manifest: &Manifest) {
    let Some(schema) = &manifest.config_schema else { return };
    let at = section.entry("capabilities").map_or(section.at, |entry| entry.key.span);
    let has = |key: &str| schema.fields().any(|field| field == key);
    for request in &manifest.capabilities.filesystem {
        if let FilesystemPlace::Config(key) = &request.place
            && !has(key)
        {
            let message = format!(
                "`filesystem` names the config key `{}`, which the config schema lacks",
                shorten(key)
            );
            reader.error(Diagnostic::error("unknown_config_key", at, message));
        }
    }
    let runtime_hosts = manifest.capabilities.network.as_ref().is_some_and(|network| network.runtime_hosts);
    if runtime_hosts && !has("host") && !has("url") {
        let message = "`runtime_hosts` takes the endpoint from the config keys `host` and `port` or `url`, which the \
                       config schema lacks";
        reader.error(Diagnostic::error("unknown_config_key", at, message));
    }
}
