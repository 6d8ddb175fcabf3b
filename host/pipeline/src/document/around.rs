//! `state`, `hooks` and `cache`.

use super::failing::bounded_duration;
use crate::diagnostic::Diagnostic;
use crate::format::{CACHE, HOOK, HOOKS, STATE};
use crate::limits::{HOOK_TIMEOUT_MS_DEFAULT, HOOK_TIMEOUT_MS_MAX};
use crate::node::{Kind, Node, shorten};
use crate::reader::{Reader, Section};
use crate::spec::{CacheSpec, Hook, HooksSpec, StateBackend, StateSpec};

const PATH_BYTES_MAX: usize = 4096;
const BACKENDS: &[(&str, StateBackend)] =
    &[("sqlite", StateBackend::Sqlite), ("postgres", StateBackend::Postgres)];

/// What the document says, else `default`: one place of state is not made of two documents.
pub(crate) fn read_state(
    reader: &mut Reader<'_>,
    document: Section<'_>,
    default: Option<&StateSpec>,
) -> Option<StateSpec> {
    let Some(entry) = document.entry("state").filter(|entry| !entry.value.is_null()) else {
        return Some(default.cloned().unwrap_or_default());
    };
    let section = reader.section(&entry.value, "`state`", entry.key.span, &STATE)?;
    let mut state = StateSpec::default();
    if let Some(node) = section.get("backend") {
        state.backend = reader.word(node, "`state.backend`", BACKENDS)?;
    }
    if let Some(node) = section.get("path") {
        state.path = Some(reader.name(node, "`state.path`", PATH_BYTES_MAX)?);
    }
    if let Some(node) = section.get("connection") {
        let connection = reader.secret(node, "`state.connection`")?;
        if let Some(password) = password_of(connection.expose()) {
            reader.hide("state.connection", password);
        }
        state.connection = Some(connection);
    }
    match (state.backend.value, &state.path, &state.connection) {
        (StateBackend::Postgres, Some(path), _) => {
            let message = "`state.path` is for `backend: sqlite`";
            let error = Diagnostic::error("path_with_postgres", path.span, message)
                .related(state.backend.span, "the backend is chosen here");
            reader.error(error.help("PostgreSQL is named by `connection`"));
        }
        (StateBackend::Sqlite, _, Some(connection)) => {
            let message = "`state.connection` is for `backend: postgres`";
            let error = Diagnostic::error("connection_with_sqlite", connection.span, message);
            reader.error(match state.backend.is_stated() {
                true => error.related(state.backend.span, "the backend is chosen here"),
                false => error.help("add `backend: postgres`"),
            });
        }
        (StateBackend::Postgres, _, None) => {
            let message = "`backend: postgres` needs a `connection`";
            let error = Diagnostic::error("missing_key", state.backend.span, message);
            reader.error(error.help("take it from the environment: `connection: ${STATE_DATABASE_URL}`"));
        }
        _ => {}
    }
    Some(state)
}

/// What stands between the user and the host of an address.
fn password_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let (user, _) = rest[..rest.find(['/', '?']).unwrap_or(rest.len())].rsplit_once('@')?;
    Some(user.split_once(':')?.1)
}

pub(super) fn read_hooks(reader: &mut Reader<'_>, document: Section<'_>) -> Option<HooksSpec> {
    let Some(entry) = document.entry("hooks").filter(|entry| !entry.value.is_null()) else {
        return Some(HooksSpec::default());
    };
    let section = reader.section(&entry.value, "`hooks`", entry.key.span, &HOOKS)?;
    Some(HooksSpec {
        on_success: read_hook_list(reader, section, "on_success"),
        on_failure: read_hook_list(reader, section, "on_failure"),
        on_complete: read_hook_list(reader, section, "on_complete"),
    })
}

fn read_hook_list(reader: &mut Reader<'_>, section: Section<'_>, key: &str) -> Vec<Hook> {
    let Some(node) = section.get(key).filter(|node| !node.is_null()) else { return Vec::new() };
    let Some(items) = reader.list(node, &format!("`hooks.{key}`")) else { return Vec::new() };
    items
        .iter()
        .enumerate()
        .filter_map(|(index, node)| read_hook(reader, node, &format!("hooks.{key}[{index}]")))
        .collect()
}

fn read_hook(reader: &mut Reader<'_>, node: &Node, place: &str) -> Option<Hook> {
    if let Kind::Scalar(scalar) = &node.kind {
        let message = format!("`{place}` must be a mapping, not {}", node.describe());
        let help = format!("write `{{ exec: \"{}\" }}`", shorten(scalar.raw()));
        reader.error(Diagnostic::error("wrong_type", node.span, message).help(help));
        return None;
    }
    let start = node.entries().first().map_or(node.span, |entry| entry.key.span);
    let section = reader.section(node, &format!("`{place}`"), start, &HOOK)?;
    let exec = reader.required(section, &format!("`{place}`"), "exec");
    let exec = exec.and_then(|node| reader.guarded(node, &format!("`{place}.exec`")));
    let timeout_ms = match section.get("timeout") {
        Some(node) => {
            bounded_duration(reader, node, &format!("`{place}.timeout`"), HOOK_TIMEOUT_MS_MAX)?.value
        }
        None => HOOK_TIMEOUT_MS_DEFAULT,
    };
    Some(Hook { exec: exec?, timeout_ms })
}

pub(super) fn read_cache(reader: &mut Reader<'_>, document: Section<'_>) -> Option<CacheSpec> {
    let Some(entry) = document.entry("cache").filter(|entry| !entry.value.is_null()) else {
        return Some(CacheSpec::default());
    };
    let section = reader.section(&entry.value, "`cache`", entry.key.span, &CACHE)?;
    let mut cache = CacheSpec { enabled: true, path: None };
    if let Some(node) = section.get("enabled") {
        cache.enabled = reader.boolean(node, "`cache.enabled`")?;
    }
    if let Some(node) = section.get("path") {
        cache.path = Some(reader.name(node, "`cache.path`", PATH_BYTES_MAX)?);
    }
    Some(cache)
}
