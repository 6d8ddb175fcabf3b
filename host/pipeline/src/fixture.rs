//! The fixture: `conformance.yaml` beside a connector's manifest. It says with which config the conformance suite opens the
//! connector, which streams it reads and how what a destination wrote is read back. Exemptions are not here but in the
//! manifest: they travel with the component.

use std::sync::Arc;

use crate::config::Config;
use crate::diagnostic::{Diagnostic, DocumentErrors, SourceFile};
use crate::interpolate::Environment;
use crate::limits::{COLUMN_NAME_BYTES_MAX, DOCUMENT_BYTES_MAX, STREAM_NAME_BYTES_MAX};
use crate::node::{Entry, Kind, Node, Scalar};
use crate::reader::{Keys, Reader, Section};
use crate::span::{Span, Spanned};
use crate::{json, yaml};

/// The file beside a connector's manifest.
pub const FIXTURE_FILE_NAME: &str = "conformance.yaml";

const PLACE: &str = "the fixture";
const EMPTY_HELP: &str =
    "a fixture has `config`, and for a destination `reader`; `docs/conformance.md` describes the keys";
const PATH_BYTES_MAX: usize = 4096;

const FIXTURE: Keys = Keys::of(&["config", "streams", "reader"]);
const STREAM: Keys = Keys::of(&["name", "cursor_field"]);
const READER: Keys = Keys::of(&["connector", "config", "stream", "files"]);

/// A checked fixture.
#[derive(Debug, Clone)]
pub struct Fixture {
    pub file: Arc<SourceFile>,
    pub config: Config,
    /// Which streams of a source are read. Empty: all of them.
    pub streams: Vec<FixtureStream>,
    /// How what a destination wrote is read back.
    pub reader: Option<ReaderSpec>,
}

/// A stream to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixtureStream {
    pub name: String,
    /// None: the first one that the catalog names.
    pub cursor_field: Option<String>,
}

/// Where what a destination wrote can be seen.
#[derive(Debug, Clone)]
pub enum ReaderSpec {
    /// A source connector.
    Connector {
        /// A crate's folder or a component, relative to the fixture.
        path: Spanned<String>,
        config: Config,
        /// What the reader calls a stream; `{stream}` stands for its name.
        stream: String,
    },
    /// Files of JSON Lines, relative to the fixture; `{stream}` stands for the stream's name, `*` for anything but `/`.
    Files(Vec<String>),
}

impl Fixture {
    /// Reads the YAML form.
    pub fn from_yaml(
        text: &str,
        file_name: &str,
        environment: Environment<'_>,
    ) -> Result<Self, DocumentErrors> {
        let file = Arc::new(SourceFile::new(file_name, text.strip_prefix('\u{feff}').unwrap_or(text)));
        let mut reader = Reader::new(&file, Some(environment));
        let mut problems = Vec::new();
        let root = yaml::read(&file, DOCUMENT_BYTES_MAX, EMPTY_HELP, &mut problems);
        problems.into_iter().for_each(|problem| reader.error(problem));
        let fixture = root.and_then(|root| read_fixture(&mut reader, &root, file.clone()));
        let errors = reader.errors;
        match fixture {
            Some(fixture) if errors.is_empty() => Ok(fixture),
            _ => Err(DocumentErrors::new(file, errors)),
        }
    }

    /// The fixture of a connector that has none: no config at all.
    pub fn empty() -> Self {
        Fixture {
            file: Arc::new(SourceFile::new("--config", "")),
            config: Config::new(Node::empty_map(), Span::NONE),
            streams: Vec::new(),
            reader: None,
        }
    }

    /// Sets one key of the config, as `--config key=value` does. Lists and mappings are written as JSON.
    pub fn set(&mut self, key: &str, value: &str) {
        let structured = value.starts_with(['[', '{']).then(|| json::read(value, DOCUMENT_BYTES_MAX));
        let value = match structured {
            Some(Ok(node)) => node,
            _ => Node::new(Kind::Scalar(Scalar::plain(value)), Span::NONE),
        };
        let mut entries = self.config.node().entries().to_vec();
        entries.retain(|entry| entry.key.value != key);
        entries.push(Entry { key: Spanned::new(key.to_owned(), Span::NONE), value });
        self.config = Config::new(Node::new(Kind::Map(entries), self.config.node().span), self.config.span());
    }
}

fn read_fixture(reader: &mut Reader<'_>, root: &Node, file: Arc<SourceFile>) -> Option<Fixture> {
    let start = root.entries().first().map_or(root.span, |entry| entry.key.span);
    let section = reader.section(root, PLACE, start, FIXTURE)?;
    let config = read_config(reader, section, "the fixture");
    let mut streams = Vec::new();
    if let Some(node) = section.get("streams") {
        for item in reader.list(node, "`streams`")? {
            streams.extend(read_stream(reader, item));
        }
    }
    let read_back = match section.entry("reader") {
        Some(entry) => Some(read_reader(reader, &entry.value, entry.key.span)?),
        None => None,
    };
    Some(Fixture { file, config: config?, streams, reader: read_back })
}

fn read_config(reader: &mut Reader<'_>, section: Section<'_>, place: &str) -> Option<Config> {
    let at = section.entry("config").map_or(section.at, |entry| entry.key.span);
    let node = match section.get("config") {
        None => Node::empty_map(),
        Some(node) if node.is_null() => Node::empty_map(),
        Some(node) if matches!(node.kind, Kind::Map(_)) => reader.fill_tree(node),
        Some(node) => {
            let message = format!("the `config` of {place} must be a mapping, not {}", node.describe());
            reader.error(Diagnostic::error("wrong_type", node.span, message));
            return None;
        }
    };
    Some(Config::new(node, at))
}

fn read_stream(reader: &mut Reader<'_>, node: &Node) -> Option<FixtureStream> {
    const PLACE: &str = "a stream of the fixture";
    let at = node.entries().first().map_or(node.span, |entry| entry.key.span);
    let section = reader.section(node, PLACE, at, STREAM)?;
    let name = reader.required(section, PLACE, "name")?;
    let name = reader.name(name, "`name`", STREAM_NAME_BYTES_MAX)?.value;
    let cursor_field = match section.get("cursor_field") {
        Some(node) => Some(reader.name(node, "`cursor_field`", COLUMN_NAME_BYTES_MAX)?.value),
        None => None,
    };
    Some(FixtureStream { name, cursor_field })
}

fn read_reader(reader: &mut Reader<'_>, node: &Node, at: Span) -> Option<ReaderSpec> {
    let section = reader.section(node, "`reader`", at, READER)?;
    match (section.get("connector"), section.get("files")) {
        (Some(node), None) => {
            let path = reader.name(node, "`connector`", PATH_BYTES_MAX)?;
            let stream = match section.get("stream") {
                Some(node) => reader.name(node, "`stream`", STREAM_NAME_BYTES_MAX)?.value,
                None => "{stream}".to_owned(),
            };
            Some(ReaderSpec::Connector { path, config: read_config(reader, section, "the reader")?, stream })
        }
        (None, Some(node)) => {
            let mut patterns = Vec::new();
            let filled = reader.fill_tree(node);
            for item in reader.list(&filled, "`files`")? {
                patterns.push(reader.name(item, "a pattern of `files`", PATH_BYTES_MAX)?.value);
            }
            Some(ReaderSpec::Files(patterns))
        }
        _ => {
            let message = "`reader` needs either `connector` or `files`";
            reader.error(Diagnostic::error("missing_key", at, message).help(
                "`connector` names a source that reads what was written; `files` are patterns of JSON Lines files",
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Fixture, String> {
        let variable = |name: &str| (name == "SCRATCH").then(|| "/tmp/x".to_owned());
        Fixture::from_yaml(text, "conformance.yaml", &variable).map_err(|errors| errors.to_string())
    }

    #[test]
    fn reads_config_streams_and_both_readers() {
        let fixture = read(
            "config: { path: \"${SCRATCH}/out\" }\nstreams:\n  - { name: orders, cursor_field: id }\nreader: { files: [\"${SCRATCH}/{stream}.jsonl\"] }",
        )
        .unwrap();
        assert_eq!(fixture.config.to_json()["path"], "/tmp/x/out");
        assert_eq!(fixture.streams[0].cursor_field.as_deref(), Some("id"));
        assert!(
            matches!(&fixture.reader, Some(ReaderSpec::Files(files)) if files == &["/tmp/x/{stream}.jsonl"])
        );
        let fixture = read("reader: { connector: ../source-file, config: { path: x } }").unwrap();
        assert!(matches!(fixture.reader, Some(ReaderSpec::Connector { stream, .. }) if stream == "{stream}"));
    }

    #[test]
    fn a_key_set_on_the_command_line_takes_the_place_of_the_files() {
        let mut fixture = read("config: { path: a, count: 1 }").unwrap();
        fixture.set("count", "7");
        fixture.set("list", "[1, \"two\"]");
        assert_eq!(
            fixture.config.to_json(),
            serde_json::json!({ "path": "a", "count": 7, "list": [1, "two"] })
        );
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for (text, part) in [
            ("confg: {}", "confg"),
            ("config: [1]", "mapping"),
            ("reader: { stream: x }", "either `connector` or `files`"),
            ("streams: [{ cursor_field: x }]", "name"),
            ("config: { a: \"${NOWHERE}\" }", "NOWHERE"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
