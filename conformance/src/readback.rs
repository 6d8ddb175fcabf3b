//! Reading back what a destination wrote, by a source connector or from files of JSON Lines. What it finds is content; what
//! it should have found is the clauses' business.

use std::path::{Path, PathBuf};

use arrow_schema::Schema;
use rapidbyte_host::connector::build::BuildProgress;
use rapidbyte_host::core::ConnectorRole;
use rapidbyte_host::operations::conformance::Equipment;
use rapidbyte_host::pipeline::{Diagnostic, DocumentErrors, Fixture, Manifest, ReaderSpec};
use rapidbyte_host::wasm::WasmConnector;
use rapidbyte_host::{Host, HostError};
use serde_json::Value;

use crate::clause::{Finding, broken};
use crate::drive::{ReadPlan, discover_with, read_elsewhere};
use crate::limits::{IDLE_DURATION_MAX, LIMITS};
use crate::rows::{Row, conform};
use crate::subject::{Places, start};

/// A way to see what was written.
pub enum ReadBack {
    Connector { manifest: Box<Manifest>, connector: Box<WasmConnector>, equipment: Equipment, stream: String },
    Files { patterns: Vec<String>, folder: PathBuf },
}

impl ReadBack {
    /// Makes ready what the fixture names; builds the reader where it is a crate. Blocks.
    pub fn load(
        host: &Host,
        spec: &ReaderSpec,
        fixture: &Fixture,
        places: Places<'_>,
        progress: &mut dyn BuildProgress,
    ) -> Result<Self, HostError> {
        match spec {
            ReaderSpec::Files(patterns) => {
                Ok(ReadBack::Files { patterns: patterns.clone(), folder: places.folder.to_owned() })
            }
            ReaderSpec::Connector { path, config, stream } => {
                let candidate = host.candidate(&places.folder.join(&path.value), progress)?;
                let manifest = candidate.manifest;
                if manifest.role != ConnectorRole::Source {
                    let message = format!("`{}` is a {}, a reader is a source", manifest.name, manifest.role);
                    let problem = Diagnostic::error("reader_role", path.span, message);
                    return Err(HostError::Document(DocumentErrors::new(
                        fixture.file.clone(),
                        vec![problem],
                    )));
                }
                let equipment =
                    host.equip(&manifest, config, &fixture.file, places.folder, places.scratch)?;
                let connector = host.load_unredacted(
                    &manifest,
                    &candidate.component,
                    equipment.grants.clone(),
                    IDLE_DURATION_MAX,
                )?;
                Ok(ReadBack::Connector {
                    manifest: Box::new(manifest),
                    connector: Box::new(connector),
                    equipment,
                    stream: stream.clone(),
                })
            }
        }
    }

    /// The visible rows of a stream, each value as the type that was written; none where there is no such stream.
    pub async fn rows(&self, stream: &str, schema: &Schema) -> Result<Option<Vec<Row>>, Finding> {
        let rows = match self {
            ReadBack::Files { patterns, folder } => {
                let patterns = patterns.iter().map(|pattern| pattern.replace("{stream}", stream));
                rows_of_files(patterns, folder)?
            }
            ReadBack::Connector { manifest, connector, equipment, stream: template } => {
                let name = template.replace("{stream}", stream);
                let failed = |what: &str, error: rapidbyte_host::core::ConnectorError| {
                    Finding::broken(format!("the reader `{}` cannot {what}: {error}", manifest.name))
                };
                let config = equipment.config.to_string();
                let running = start(connector, &Default::default(), LIMITS, None, None).await;
                let mut running = running.map_err(|error| failed("start", error))?;
                let catalog = discover_with(&mut running, &config).await;
                let catalog = catalog.map_err(|error| failed("discover", error))?;
                match catalog.streams.iter().find(|stream| stream.name == name) {
                    None => None,
                    Some(stream) => {
                        let run = read_elsewhere(connector, &config, &ReadPlan::full(stream)).await;
                        let run = run.map_err(|error| failed("read", error))?;
                        Some(run.rows()?)
                    }
                }
            }
        };
        Ok(rows.map(|rows| conform(rows, schema)))
    }
}

fn rows_of_files(patterns: impl Iterator<Item = String>, folder: &Path) -> Result<Option<Vec<Row>>, Finding> {
    let mut rows: Option<Vec<Row>> = None;
    for pattern in patterns {
        for path in matches(&folder.join(pattern)) {
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) => return broken(format!("cannot read back `{}`: {error}", path.display())),
            };
            let rows = rows.get_or_insert_default();
            for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
                let Ok(Value::Object(cells)) = serde_json::from_str(line) else {
                    return broken(format!(
                        "line {} of `{}` is no JSON object: {line}",
                        index + 1,
                        path.display()
                    ));
                };
                rows.push(cells.into_iter().map(|(name, value)| (name, text_of(value))).collect());
            }
        }
    }
    Ok(rows)
}

fn text_of(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        value => Some(value.to_string()),
    }
}

/// The files that a pattern names: `*` stands for anything within one part of the path. By name.
fn matches(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = part.as_os_str();
        let Some(text) = part.to_str().filter(|text| text.contains('*')) else {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        };
        found = found
            .iter()
            .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .filter(|path| {
                path.file_name().and_then(|name| name.to_str()).is_some_and(|name| fits(text, name))
            })
            .collect();
    }
    found.retain(|path| path.is_file());
    found.sort();
    found
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|after| {
            after.char_indices().map(|(at, _)| at).chain([after.len()]).any(|at| fits(rest, &after[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_lines_of_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("orders")).unwrap();
        std::fs::write(folder.path().join("orders/part-1.jsonl"), "{\"id\":1,\"name\":null}\n").unwrap();
        std::fs::write(folder.path().join("orders/part-2.jsonl"), "{\"id\":2,\"name\":\"x\"}\n").unwrap();
        std::fs::write(folder.path().join("orders/part-2.tmp"), "rubbish").unwrap();
        let read = |pattern: &str| rows_of_files([pattern.to_owned()].into_iter(), folder.path()).unwrap();
        let rows = read("orders/part-*.jsonl").unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0]["name"], None);
        assert_eq!(rows[1]["id"].as_deref(), Some("2"));
        assert_eq!(read("customers/*.jsonl"), None);
        assert!(fits("a*b*c", "aXbYc") && !fits("a*b", "aXc"));
    }
}
