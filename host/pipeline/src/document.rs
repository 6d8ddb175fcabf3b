//! Node tree → pipeline: the keys of the format, their types and defaults. What is impossible although each part is
//! fine is in `rules`.

pub(crate) mod around;
mod failing;
mod passing;
mod policies;
pub(crate) mod resources;
mod rules;
mod streams;

use std::sync::Arc;

use jiff::Timestamp;
use rapidbyte_core::contract::ConnectorRole;

use crate::config::Config;
use crate::diagnostic::{Diagnostic, DocumentErrors, SourceFile};
use crate::format::{DESTINATION, DOCUMENT, SOURCE};
use crate::interpolate::Environment;
use crate::limits::{DOCUMENT_BYTES_MAX, PIPELINE_NAME_BYTES_MAX, STREAM_NAME_BYTES_MAX};
use crate::node::{Kind, Node};
use crate::reader::{Keys, Reader, Section};
use crate::settings::ProjectSettings;
use crate::span::{Span, Spanned};
use crate::spec::{ConnectorLocation, ConnectorRef, DestinationSpec, Parsed, Pipeline, SourceSpec};
use crate::yaml;

/// The only version of the format.
pub(crate) const VERSION: &str = "1.0";
const EMPTY_HELP: &str = "a pipeline starts with `version: \"1.0\"`; `docs/pipeline.md` describes the keys";

/// What a document is read with.
pub struct Surroundings<'a> {
    /// Answers variables by name.
    pub environment: Environment<'a>,
    /// The instant of `now()`, one for the whole document.
    pub now: Timestamp,
    /// What holds where the document does not say.
    pub settings: Option<&'a ProjectSettings>,
}

impl<'a> Surroundings<'a> {
    /// Without settings.
    pub fn new(environment: Environment<'a>, now: Timestamp) -> Self {
        Surroundings { environment, now, settings: None }
    }
}

/// Reads and checks a pipeline document. `file_name` is what messages call it.
pub fn parse(text: &str, file_name: &str, surroundings: &Surroundings<'_>) -> Result<Parsed, DocumentErrors> {
    let file = Arc::new(SourceFile::new(file_name, text.strip_prefix('\u{feff}').unwrap_or(text)));
    let mut reader = Reader::new(&file, Some(surroundings.environment));
    reader.now = Some(surroundings.now);
    let mut problems = Vec::new();
    let root = yaml::read(&file, DOCUMENT_BYTES_MAX, EMPTY_HELP, &mut problems);
    problems.into_iter().for_each(|problem| reader.error(problem));
    let pipeline =
        root.and_then(|root| read_document(&mut reader, &root, surroundings.settings, file.clone()));
    let Reader { errors, warnings, secrets, hidden, .. } = reader;
    match pipeline {
        Some(pipeline) if errors.is_empty() => Ok(Parsed { pipeline, secrets, hidden, warnings }),
        _ => Err(DocumentErrors::new(file, errors)),
    }
}

/// The text of a file's bytes.
pub fn decode<'a>(bytes: &'a [u8], file_name: &str) -> Result<&'a str, DocumentErrors> {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let (valid, _) = bytes.split_at(error.valid_up_to());
    // The text before the mistake is enough to show where it is.
    let text = std::str::from_utf8(valid).unwrap_or_default();
    let file = Arc::new(SourceFile::new(file_name, text));
    let span = Span::new(text.len(), text.len());
    let help = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "the file looks like UTF-16: save it as UTF-8",
        _ => "save the file as UTF-8",
    };
    let byte = bytes.get(text.len()).copied().unwrap_or_default();
    let message = format!("the file is not UTF-8 text: the byte 0x{byte:02x} does not belong here");
    Err(DocumentErrors::new(file, vec![Diagnostic::error("invalid_utf8", span, message).help(help)]))
}

fn read_document(
    reader: &mut Reader<'_>,
    root: &Node,
    settings: Option<&ProjectSettings>,
    file: Arc<SourceFile>,
) -> Option<Pipeline> {
    // What is missing in the document is missing at its first line.
    let start = root.entries().first().map_or(root.span, |entry| entry.key.span);
    let document = reader.section(root, "the pipeline", start, &DOCUMENT)?;

    let version =
        reader.required(document, "the pipeline", "version").and_then(|node| read_version(reader, node));
    let name = reader.required(document, "the pipeline", "pipeline").and_then(|node| read_name(reader, node));
    let destination = read_part(reader, document, "destination", &DESTINATION);
    let destination = destination.and_then(|section| {
        let connector = read_connector(reader, section, ConnectorRole::Destination, "destination", "use");
        let write = streams::read_write_defaults(reader, section);
        let dlq_table = section
            .get("dlq_table")
            .and_then(|node| reader.name(node, "`destination.dlq_table`", STREAM_NAME_BYTES_MAX));
        connector.map(|connector| (connector, write, dlq_table))
    });
    let source = read_part(reader, document, "source", &SOURCE);
    let source = source.and_then(|section| {
        let connector = read_connector(reader, section, ConnectorRole::Source, "source", "use");
        let streams = streams::read_streams(reader, section);
        connector.zip(streams)
    });
    let transforms =
        document.get("transforms").map(|node| passing::read_transforms(reader, node)).unwrap_or_default();
    let contracts =
        document.get("contracts").map(|node| passing::read_contracts(reader, node)).unwrap_or_default();
    let errors = failing::read_errors(reader, document, name.as_ref().map(|name| name.value.as_str()));
    let state = around::read_state(reader, document, settings.and_then(|settings| settings.state.as_ref()));
    let resources = resources::read(reader, document).map(|words| match settings {
        Some(settings) => words.over(&settings.resources),
        None => words,
    });
    let resources = resources.map(|words| resources::resolve(reader, &words));
    let hooks = around::read_hooks(reader, document);
    let cache = around::read_cache(reader, document);

    let (connector, write, dlq_table) = destination?;
    let (source_connector, streams) = source?;
    let errors = errors?;
    let on_error = errors.on_error.value;
    let held_against =
        rules::Around { defaults: &write, transforms: &transforms, contracts: &contracts, on_error };
    let streams = rules::resolve(reader, streams, &held_against)?;
    let policies = policies::resolve(None, &write.policies, on_error);
    let destination = DestinationSpec { connector, write: write.spec(), policies, dlq_table };
    rules::check_dead_letters(reader, &streams, &destination, &errors);
    Some(Pipeline {
        version: version?,
        name: name?,
        source: SourceSpec { connector: source_connector, streams },
        transforms,
        contracts,
        destination,
        errors,
        state: state?,
        resources: resources?,
        hooks: hooks?,
        cache: cache?,
        file,
    })
}

fn read_version(reader: &mut Reader<'_>, node: &Node) -> Option<Spanned<String>> {
    // `version: 1.0` is a number to YAML and means the same.
    match node.as_scalar() {
        Some(scalar) if scalar.raw() == VERSION => Some(Spanned::new(VERSION.to_owned(), node.span)),
        _ => {
            let message = format!("the pipeline's `version` cannot be {}", reader.shown(node));
            let help = format!("this version of Rapidbyte reads `version: \"{VERSION}\"`");
            reader.error(Diagnostic::error("unsupported_version", node.span, message).help(help));
            None
        }
    }
}

fn read_name(reader: &mut Reader<'_>, node: &Node) -> Option<Spanned<String>> {
    let name = reader.name(node, "the pipeline's name", PIPELINE_NAME_BYTES_MAX)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if name.bytes().all(allowed) && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) {
        return Some(name);
    }
    let message = format!("{} cannot name a pipeline", reader.shown(node));
    reader.error(
        Diagnostic::error("invalid_name", node.span, message)
            .help("a name is made of letters, digits, `_`, `-` and `.`, and starts with a letter or digit"),
    );
    None
}

/// A top-level part that must be there.
fn read_part<'n>(
    reader: &mut Reader<'_>,
    document: Section<'n>,
    key: &'static str,
    keys: impl Into<Keys>,
) -> Option<Section<'n>> {
    reader.required(document, "the pipeline", key)?;
    let entry = document.entry(key)?;
    reader.section(&entry.value, &format!("`{key}`"), entry.key.span, keys)
}

/// `key` is the one that names the connector.
fn read_connector(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    role: ConnectorRole,
    place: &str,
    key: &str,
) -> Option<ConnectorRef> {
    let location =
        reader.required(section, &format!("`{place}`"), key).and_then(|node| read_use(reader, node, key));
    let at = section.entry("config").or(section.entry(key)).map_or(section.at, |entry| entry.key.span);
    let config = match section.get("config") {
        None => Node::empty_map(),
        Some(node) if node.is_null() => Node::empty_map(),
        Some(node) if matches!(node.kind, Kind::Map(_)) => reader.fill_tree(node),
        Some(node) => {
            let message = format!("the `config` of `{place}` must be a mapping, not {}", node.describe());
            reader.error(Diagnostic::error("wrong_type", node.span, message));
            return None;
        }
    };
    Some(ConnectorRef { role, place: place.to_owned(), location: location?, config: Config::new(config, at) })
}

/// A path is what begins like one; everything else names a package.
fn read_use(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<Spanned<ConnectorLocation>> {
    let text = reader.name(node, &format!("`{key}`"), 4096)?;
    let is_path = ["./", "../", "/"].iter().any(|start| text.starts_with(start));
    Some(text.map(|text| match (is_path, text.ends_with(".wasm")) {
        (true, true) => ConnectorLocation::Wasm(text),
        (true, false) => ConnectorLocation::Crate(text),
        (false, _) => ConnectorLocation::Package(text),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Shape, Table};

    const REFERENCE: &str = include_str!("../../../docs/pipeline.md");

    fn read(text: &str) -> Parsed {
        let variable =
            |name: &str| Some(if name.ends_with("WEBHOOK") { "https://h.example" } else { "x" }.to_owned());
        let now = "2026-03-01T12:34:56Z".parse().unwrap();
        parse(text, "docs/pipeline.md", &Surroundings::new(&variable, now))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The YAML blocks of a page, those that are whole pipelines.
    fn pipelines(page: &str) -> Vec<&str> {
        let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0));
        blocks.filter(|block| block.starts_with("version:")).collect()
    }

    #[test]
    fn the_reference_names_every_key() {
        let mut tables: Vec<&Table> = Vec::new();
        Shape::Map(&DOCUMENT).tables(&mut tables);
        assert!(tables.len() > 20);
        for key in tables.iter().flat_map(|table| table.keys) {
            assert!(
                REFERENCE.contains(&format!("`{}`", key.name)),
                "docs/pipeline.md does not name `{}`",
                key.name
            );
        }
    }

    #[test]
    fn the_reference_s_examples_are_good() {
        let examples = pipelines(REFERENCE);
        assert!(!examples.is_empty());
        for example in examples {
            assert_eq!(read(example).warnings, [], "{example}");
        }
    }

    #[test]
    fn the_reference_s_defaults_are_true() {
        let text = "version: \"1.0\"\npipeline: p\nsource: { use: ./s }\ndestination: { use: ./d, write_mode: append }\n";
        let resources = read(text).pipeline.resources;
        for (key, value) in [
            ("max_memory", crate::quantity::format_bytes(*resources.max_memory_bytes)),
            ("parallelism", resources.parallelism.to_string()),
            (
                "checkpoint_interval_bytes",
                crate::quantity::format_bytes(*resources.checkpoint_interval_bytes),
            ),
            ("checkpoint_interval_rows", resources.checkpoint_interval_rows.to_string()),
            ("checkpoint_interval_seconds", resources.checkpoint_interval_seconds.to_string()),
        ] {
            let row = format!("| `{key}` | `{value}` |");
            assert!(REFERENCE.contains(&row), "docs/pipeline.md lacks {row}");
        }
    }
}
