//! Node tree → pipeline: the keys of the format, their types and defaults. What is impossible although each part is
//! fine is in `rules`.

mod rules;
mod streams;

use std::sync::Arc;

use rapidbyte_core::contract::ConnectorRole;
use rapidbyte_core::limits as host;

use crate::config::Config;
use crate::diagnostic::{Diagnostic, DocumentErrors, SourceFile};
use crate::interpolate::Environment;
use crate::limits::{
    BATCH_MEMORY_SHARE, CHECKPOINT_INTERVAL_SECONDS_MAX, DOCUMENT_BYTES_MAX, PIPELINE_NAME_BYTES_MAX,
    STREAM_NAME_BYTES_MAX,
};
use crate::node::{Kind, Node};
use crate::reader::{Keys, Reader, Section};
use crate::span::{Span, Spanned};
use crate::spec::{
    CacheSpec, ConnectorLocation, ConnectorRef, DEFAULT_POLICIES, DestinationSpec, ErrorsSpec, HooksSpec,
    Parsed, Pipeline, Resources, SourceSpec, StateBackend, StateSpec, TransformKind, TransformSpec,
};
use crate::yaml;

/// The only version of the format.
const VERSION: &str = "1.0";
const EMPTY_HELP: &str = "a pipeline starts with `version: \"1.0\"`; `docs/pipeline.md` describes the keys";

const OF_STREAM: &str = "to a stream: `streams: [{ name: orders, ... }]`";
const OF_WRITE: &str = "to `destination` or to a stream";
const OF_CONFIG: &str = "under `config`";

const DOCUMENT: Keys = Keys {
    known: &["version", "pipeline", "source", "transforms", "destination", "state", "resources"],
    later: &["contracts", "errors", "hooks"],
    elsewhere: &[],
};
const SOURCE: Keys = Keys {
    known: &["use", "config", "streams"],
    later: &[],
    elsewhere: &[
        ("sync_mode", OF_STREAM),
        ("cursor_field", OF_STREAM),
        ("tie_breaker", OF_STREAM),
        ("columns", OF_STREAM),
        ("write_mode", OF_WRITE),
        ("primary_key", OF_WRITE),
        ("update_columns", OF_WRITE),
        ("host", OF_CONFIG),
        ("port", OF_CONFIG),
        ("url", OF_CONFIG),
        ("path", OF_CONFIG),
    ],
};
const TRANSFORM: Keys = Keys { known: &["use", "config", "stream"], later: &["operations"], elsewhere: &[] };
const DESTINATION: Keys = Keys {
    known: &["use", "config", "write_mode", "primary_key", "update_columns"],
    later: &["schema_evolution", "on_data_error", "dlq_table"],
    elsewhere: &[("host", OF_CONFIG), ("port", OF_CONFIG), ("url", OF_CONFIG), ("path", OF_CONFIG)],
};
const STATE: Keys = Keys { known: &["backend", "path"], later: &["connection"], elsewhere: &[] };
const RESOURCES: Keys = Keys::of(&[
    "max_memory",
    "max_batch_bytes",
    "max_record_bytes",
    "parallelism",
    "checkpoint_interval_bytes",
    "checkpoint_interval_rows",
    "checkpoint_interval_seconds",
]);

/// Reads and checks a pipeline document. `file_name` is what messages call it; `environment` answers variables by name.
pub fn parse(text: &str, file_name: &str, environment: Environment<'_>) -> Result<Parsed, DocumentErrors> {
    let file = Arc::new(SourceFile::new(file_name, text.strip_prefix('\u{feff}').unwrap_or(text)));
    let mut reader = Reader::new(&file, Some(environment));
    let mut problems = Vec::new();
    let root = yaml::read(&file, DOCUMENT_BYTES_MAX, EMPTY_HELP, &mut problems);
    problems.into_iter().for_each(|problem| reader.error(problem));
    let pipeline = root.and_then(|root| read_document(&mut reader, &root, file.clone()));
    let Reader { errors, warnings, secrets, .. } = reader;
    match pipeline {
        Some(pipeline) if errors.is_empty() => Ok(Parsed { pipeline, secrets, warnings }),
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

fn read_document(reader: &mut Reader<'_>, root: &Node, file: Arc<SourceFile>) -> Option<Pipeline> {
    // What is missing in the document is missing at its first line.
    let start = root.entries().first().map_or(root.span, |entry| entry.key.span);
    let document = reader.section(root, "the pipeline", start, DOCUMENT)?;

    let version =
        reader.required(document, "the pipeline", "version").and_then(|node| read_version(reader, node));
    let name = reader.required(document, "the pipeline", "pipeline").and_then(|node| read_name(reader, node));
    let destination = read_part(reader, document, "destination", DESTINATION);
    let destination = destination.and_then(|section| {
        let connector = read_connector(reader, section, ConnectorRole::Destination, "destination");
        let write = streams::read_write_defaults(reader, section);
        connector.map(|connector| (connector, write))
    });
    let source = read_part(reader, document, "source", SOURCE);
    let source = source.and_then(|section| {
        let connector = read_connector(reader, section, ConnectorRole::Source, "source");
        let streams = streams::read_streams(reader, section);
        connector.zip(streams)
    });
    let transforms = document.get("transforms").map(|node| read_transforms(reader, node)).unwrap_or_default();
    let state = read_state(reader, document);
    let resources = read_resources(reader, document);

    let (connector, write) = destination?;
    let (source_connector, streams) = source?;
    let streams = rules::resolve(reader, streams, &write, &transforms)?;
    Some(Pipeline {
        version: version?,
        name: name?,
        source: SourceSpec { connector: source_connector, streams },
        transforms,
        contracts: Vec::new(),
        destination: DestinationSpec {
            connector,
            write: write.spec(),
            policies: DEFAULT_POLICIES,
            dlq_table: None,
        },
        errors: ErrorsSpec::default(),
        state: state?,
        resources: resources?,
        hooks: HooksSpec::default(),
        cache: CacheSpec::default(),
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
    keys: Keys,
) -> Option<Section<'n>> {
    reader.required(document, "the pipeline", key)?;
    let entry = document.entry(key)?;
    reader.section(&entry.value, &format!("`{key}`"), entry.key.span, keys)
}

fn read_connector(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    role: ConnectorRole,
    place: &str,
) -> Option<ConnectorRef> {
    let location =
        reader.required(section, &format!("`{place}`"), "use").and_then(|node| read_use(reader, node));
    let at = section.entry("config").or(section.entry("use")).map_or(section.at, |entry| entry.key.span);
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
fn read_use(reader: &mut Reader<'_>, node: &Node) -> Option<Spanned<ConnectorLocation>> {
    let text = reader.name(node, "`use`", 4096)?;
    let is_path = ["./", "../", "/"].iter().any(|start| text.starts_with(start));
    Some(text.map(|text| match (is_path, text.ends_with(".wasm")) {
        (true, true) => ConnectorLocation::Wasm(text),
        (true, false) => ConnectorLocation::Crate(text),
        (false, _) => ConnectorLocation::Package(text),
    }))
}

fn read_transforms(reader: &mut Reader<'_>, node: &Node) -> Vec<TransformSpec> {
    if node.is_null() {
        return Vec::new();
    }
    let Some(items) = reader.list(node, "`transforms`") else { return Vec::new() };
    let mut transforms = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let place = format!("transforms[{index}]");
        let start = item.entries().first().map_or(item.span, |entry| entry.key.span);
        let Some(section) = reader.section(item, &format!("`{place}`"), start, TRANSFORM) else { continue };
        let stream = section
            .get("stream")
            .and_then(|node| reader.name(node, &format!("`{place}.stream`"), STREAM_NAME_BYTES_MAX));
        // `operations` without `use` has been refused by name already.
        if section.get("use").is_none() && section.get("operations").is_some() {
            continue;
        }
        if let Some(connector) = read_connector(reader, section, ConnectorRole::Transform, &place) {
            let span = Span::new(start.start as usize, item.span.end as usize);
            transforms.push(TransformSpec { stream, kind: TransformKind::Connector(connector), span });
        }
    }
    transforms
}

fn read_state(reader: &mut Reader<'_>, document: Section<'_>) -> Option<StateSpec> {
    let default = StateSpec::default();
    let Some(entry) = document.entry("state").filter(|entry| !entry.value.is_null()) else {
        return Some(default);
    };
    let section = reader.section(&entry.value, "`state`", entry.key.span, STATE)?;
    let mut state = default;
    if let Some(node) = section.get("backend") {
        if is_word(node, "postgres") {
            reader.not_yet("`state.backend: postgres`", node.span);
            return None;
        }
        state.backend = reader.word(node, "`state.backend`", &[("sqlite", StateBackend::Sqlite)])?;
    }
    if let Some(node) = section.get("path") {
        state.path = Some(reader.name(node, "`state.path`", 4096)?);
    }
    Some(state)
}

fn read_resources(reader: &mut Reader<'_>, document: Section<'_>) -> Option<Resources> {
    let empty = Node::empty_map();
    let (node, at) = match document.entry("resources").filter(|entry| !entry.value.is_null()) {
        Some(entry) => (&entry.value, entry.key.span),
        None => (&empty, Span::NONE),
    };
    let section = reader.section(node, "`resources`", at, RESOURCES)?;
    let found_before = reader.errors.len();
    let mut size = |key: &str| section.get(key).map(|node| reader.bytes(node, &format!("`{key}`")));
    let max_memory = size("max_memory");
    let max_batch = size("max_batch_bytes");
    let max_record = size("max_record_bytes");
    let interval_bytes = size("checkpoint_interval_bytes");
    let mut count = |key: &str, min: u64, max: u64| {
        section.get(key).map(|node| reader.integer(node, &format!("`{key}`"), min, max))
    };
    let parallelism = count("parallelism", 1, u64::from(host::PARALLELISM_MAX));
    let interval_rows = count("checkpoint_interval_rows", 1, u64::MAX);
    let interval_seconds = section
        .get("checkpoint_interval_seconds")
        .map(|node| read_seconds(reader, node, "`checkpoint_interval_seconds`"));

    let or = |stated: Option<Option<Spanned<u64>>>, default: u64| match stated {
        Some(value) => value,
        None => Some(Spanned::default_of(default)),
    };
    let max_memory_bytes = or(max_memory, host::MEMORY_BYTES_DEFAULT)?;
    // What is not stated follows from what is.
    let batch_default =
        (max_memory_bytes.value / BATCH_MEMORY_SHARE).clamp(host::BATCH_BYTES_MIN, host::BATCH_BYTES_DEFAULT);
    let max_batch_bytes = or(max_batch, batch_default)?;
    let max_record_bytes = or(max_record, max_batch_bytes.value.saturating_sub(host::BATCH_OVERHEAD_BYTES))?;
    let narrow = |value: Spanned<u64>| value.map(|value| u32::try_from(value).unwrap_or(u32::MAX));
    let resources = Resources {
        max_memory_bytes,
        max_batch_bytes,
        max_record_bytes,
        parallelism: narrow(or(parallelism, u64::from(host::PARALLELISM_DEFAULT))?),
        checkpoint_interval_bytes: or(interval_bytes, host::CHECKPOINT_INTERVAL_BYTES_DEFAULT)?,
        checkpoint_interval_rows: or(interval_rows, host::CHECKPOINT_INTERVAL_ROWS_DEFAULT)?,
        checkpoint_interval_seconds: narrow(or(
            interval_seconds,
            u64::from(host::CHECKPOINT_INTERVAL_SECONDS_DEFAULT),
        )?),
    };
    if reader.errors.len() == found_before {
        rules::check_resources(reader, &resources);
    }
    Some(resources)
}

/// Whether a scalar is written as this very word.
fn is_word(node: &Node, word: &str) -> bool {
    node.as_scalar().is_some_and(|scalar| scalar.raw() == word)
}

/// Whole seconds: `60`, or a time such as `5m`.
fn read_seconds(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Spanned<u64>> {
    let unitless = node.as_scalar().is_some_and(|scalar| scalar.raw().bytes().all(|b| b.is_ascii_digit()));
    let seconds = match unitless {
        true => return reader.integer(node, what, 1, CHECKPOINT_INTERVAL_SECONDS_MAX),
        false => reader.duration_ms(node, what)?.map(|ms| ms / 1000),
    };
    if (1..=CHECKPOINT_INTERVAL_SECONDS_MAX).contains(&seconds.value) {
        return Some(seconds);
    }
    let message = format!("{what} cannot be {}", reader.shown(node));
    let help = format!("it must be between 1 second and {} hours", CHECKPOINT_INTERVAL_SECONDS_MAX / 3600);
    reader.error(Diagnostic::error("out_of_range", node.span, message).help(help));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: &str = include_str!("../../../docs/pipeline.md");

    #[test]
    fn the_reference_names_every_key() {
        for keys in [DOCUMENT, SOURCE, TRANSFORM, DESTINATION, STATE, RESOURCES, streams::STREAM] {
            for key in keys.known.iter().chain(keys.later) {
                assert!(REFERENCE.contains(&format!("`{key}`")), "docs/pipeline.md does not name `{key}`");
            }
        }
    }

    #[test]
    fn the_reference_s_example_is_good() {
        let (_, rest) = REFERENCE.split_once("```yaml\n").expect("an example");
        let (example, _) = rest.split_once("```").expect("its end");
        let parsed =
            parse(example, "docs/pipeline.md", &|_| Some("x".to_owned())).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(parsed.warnings, []);
    }

    #[test]
    fn the_reference_s_defaults_are_true() {
        let text = "version: \"1.0\"\npipeline: p\nsource: { use: ./s }\ndestination: { use: ./d, write_mode: append }\n";
        let resources = parse(text, "p.yaml", &|_| None).unwrap_or_else(|e| panic!("{e}")).pipeline.resources;
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
