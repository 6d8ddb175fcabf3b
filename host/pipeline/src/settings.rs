//! `rapidbyte.toml`, the settings of a workspace: what holds for its pipelines where they do not say. The same tables may stand
//! in the user's `config.toml`, below the workspace's. Read as strictly as a pipeline, by the same readers. Refuses to know where
//! the files are, and what else `config.toml` holds.

use std::path::Path;
use std::sync::Arc;

use toml::Spanned as At;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, DocumentErrors, SourceFile};
use crate::document::around;
use crate::document::resources::{self, ResourceWords};
use crate::format::{RUN, SETTINGS};
use crate::interpolate::Environment;
use crate::limits::{SETTINGS_BYTES_MAX, STREAM_NAME_BYTES_MAX};
use crate::node::{Entry, Kind, Node, Scalar};
use crate::reader::{Keys, Reader, Section};
use crate::span::{Span, Spanned};
use crate::spec::{Secret, StateSpec};

/// The file that marks a workspace.
pub const SETTINGS_FILE_NAME: &str = "rapidbyte.toml";
/// Where the pipelines of a workspace are that does not say.
pub const PIPELINES_FOLDER_DEFAULT: &str = "pipelines";

/// What the settings say, and nothing where they do not.
#[derive(Debug, Clone, Default)]
pub struct ProjectSettings {
    /// The folder of the pipelines, relative to the file.
    pub pipelines: Option<String>,
    /// Paths in it are absolute.
    pub state: Option<StateSpec>,
    pub(crate) resources: ResourceWords,
    /// Pipelines side by side.
    pub parallel: Option<u32>,
    /// What nobody may see.
    pub hidden: Vec<Secret>,
}

impl ProjectSettings {
    /// The tables that may also stand in the user's `config.toml`.
    pub const SHARED_TABLES: &'static [&'static str] = &["state", "resources", "run"];

    /// Reads `rapidbyte.toml`. `folder` is where it lies, absolute.
    pub fn parse(
        text: &str,
        file_name: &str,
        folder: &Path,
        environment: Environment<'_>,
    ) -> Result<Self, DocumentErrors> {
        read(text, file_name, folder, environment, |_| true)
    }

    /// Reads the shared tables of the user's `config.toml`; what else is in it has another reader.
    pub fn parse_shared(
        text: &str,
        file_name: &str,
        folder: &Path,
        environment: Environment<'_>,
    ) -> Result<Self, DocumentErrors> {
        read(text, file_name, folder, environment, |key| Self::SHARED_TABLES.contains(&key))
    }

    /// These settings, and those of a wider place where there are none.
    #[must_use]
    pub fn over(self, below: ProjectSettings) -> ProjectSettings {
        let mut hidden = self.hidden;
        hidden.extend(below.hidden);
        ProjectSettings {
            pipelines: self.pipelines.or(below.pipelines),
            state: self.state.or(below.state),
            resources: self.resources.over(&below.resources),
            parallel: self.parallel.or(below.parallel),
            hidden,
        }
    }
}

fn read(
    text: &str,
    file_name: &str,
    folder: &Path,
    environment: Environment<'_>,
    is_ours: fn(&str) -> bool,
) -> Result<ProjectSettings, DocumentErrors> {
    let file = Arc::new(SourceFile::new(file_name, text));
    let refuse = |error: Diagnostic| DocumentErrors::new(file.clone(), vec![error]);
    if text.len() > SETTINGS_BYTES_MAX {
        let message = format!("the settings are longer than {SETTINGS_BYTES_MAX} bytes");
        return Err(refuse(Diagnostic::error("document_too_large", Span::NONE, message)));
    }
    let root = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(Span::NONE, |range| Span::new(range.start, range.end));
        refuse(Diagnostic::error("invalid_toml", at, error.message().trim_end().to_owned()))
    })?;
    let mut root = node_of_table(root.get_ref(), Span::new(0, text.len()));
    if let Kind::Map(entries) = &mut root.kind {
        entries.retain(|entry| is_ours(&entry.key.value));
    }
    let mut reader = Reader::new(&file, Some(environment));
    let settings = read_settings(&mut reader, &root, folder);
    let Reader { errors, hidden, .. } = reader;
    match settings {
        Some(settings) if errors.is_empty() => Ok(ProjectSettings { hidden, ..settings }),
        _ => Err(DocumentErrors::new(file, errors)),
    }
}

fn read_settings(reader: &mut Reader<'_>, root: &Node, folder: &Path) -> Option<ProjectSettings> {
    let document = reader.section(root, "the settings", Span::NONE, &SETTINGS)?;
    let pipelines = document
        .get("pipelines")
        .and_then(|node| reader.name(node, "`pipelines`", STREAM_NAME_BYTES_MAX))
        .map(|folder| folder.value);
    let state = match document.get("state") {
        Some(_) => Some(elsewhere(around::read_state(reader, document, None)?, folder)),
        None => None,
    };
    let resources = resources::read(reader, document)?;
    // Whether they fit together is seen here as well as in every document.
    resources::resolve(reader, &resources);
    let run = section(reader, document, "run", &RUN);
    let parallel = run.and_then(|run| run.get("parallel")).and_then(|node| {
        let most = u64::from(rapidbyte_core::limits::PARALLELISM_MAX);
        reader.integer(node, "`run.parallel`", 1, most).and_then(|count| u32::try_from(count.value).ok())
    });
    let resources = resources.elsewhere();
    Some(ProjectSettings { pipelines, state, resources, parallel, hidden: Vec::new() })
}

fn section<'n>(
    reader: &mut Reader<'_>,
    document: Section<'n>,
    key: &str,
    keys: impl Into<Keys>,
) -> Option<Section<'n>> {
    let entry = document.entry(key)?;
    reader.section(&entry.value, &format!("`{key}`"), entry.key.span, keys)
}

/// As a document takes it over: with paths that mean the same there, and no place in its text.
fn elsewhere(state: StateSpec, folder: &Path) -> StateSpec {
    let path =
        state.path.map(|path| Spanned::new(folder.join(&path.value).display().to_string(), Span::ELSEWHERE));
    StateSpec {
        backend: Spanned::new(state.backend.value, Span::ELSEWHERE),
        path,
        connection: state.connection.map(|text| text.at(Span::ELSEWHERE)),
    }
}

fn node_of_table(table: &DeTable<'_>, span: Span) -> Node {
    let entries = table.iter().map(|(key, value)| Entry {
        key: Spanned::new(key.get_ref().as_ref().to_owned(), span_of(key)),
        value: node_of(value),
    });
    Node::new(Kind::Map(entries.collect()), span)
}

fn node_of(value: &At<DeValue<'_>>) -> Node {
    let span = span_of(value);
    let kind = match value.get_ref() {
        DeValue::String(text) => Kind::Scalar(Scalar::quoted(text.as_ref())),
        // Radix prefixes and underscores are TOML's; the digits are the same.
        DeValue::Integer(number) => {
            let digits = i128::from_str_radix(number.as_str(), number.radix());
            Kind::Scalar(Scalar::plain(digits.map_or_else(|_| number.as_str().to_owned(), |n| n.to_string())))
        }
        DeValue::Float(number) => Kind::Scalar(Scalar::plain(number.as_str())),
        DeValue::Boolean(value) => Kind::Scalar(Scalar::plain(value.to_string())),
        DeValue::Datetime(moment) => Kind::Scalar(Scalar::quoted(moment.to_string())),
        DeValue::Array(items) => Kind::List(items.iter().map(node_of).collect()),
        DeValue::Table(table) => return node_of_table(table, span),
    };
    Node::new(kind, span)
}

fn span_of<T>(at: &At<T>) -> Span {
    let range = at.span();
    Span::new(range.start, range.end)
}
