//! From a path to a checked document, and from what the engine refuses back to a place in it.

use std::path::{Path, PathBuf};

use rapidbyte_engine::{Place, Problem};
use rapidbyte_pipeline::{self as pipeline, Diagnostic, DocumentErrors, Pipeline, Span, Spanned};

use crate::error::HostError;
use crate::settings::{Environment, Host};

/// A pipeline document that was read and checked.
pub struct Document {
    pub pipeline: Pipeline,
    pub path: PathBuf,
    /// Rendered like errors.
    pub warnings: Vec<Diagnostic>,
}

impl Document {
    /// The folder that the document's paths are relative to.
    pub fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }
}

impl Document {
    /// Refuses a stream that the document does not move, before anything is built or opened for it.
    pub(crate) fn require_stream(&self, stream: &str) -> Result<(), HostError> {
        if self.pipeline.stream(stream).is_some() {
            return Ok(());
        }
        let known: Vec<&str> =
            self.pipeline.listed_streams().iter().map(|stream| stream.name.as_str()).collect();
        Err(HostError::UnknownStream { stream: stream.to_owned(), known: known.join("`, `") })
    }
}

impl Host {
    /// Reads and checks a document. Nothing is built, loaded or connected to.
    pub fn open_document(&self, path: &Path) -> Result<Document, HostError> {
        let bytes =
            std::fs::read(path).map_err(|source| HostError::Read { path: path.to_owned(), source })?;
        let name = path.display().to_string();
        let environment: &Environment = &self.settings.environment;
        let settings = self.project_settings(path)?;
        let environment = |variable: &str| environment(variable);
        let surroundings = pipeline::Surroundings {
            environment: &environment,
            now: jiff::Timestamp::now(),
            settings: Some(&settings),
        };
        let parsed = pipeline::decode(&bytes, &name)
            .and_then(|text| pipeline::parse(text, &name, &surroundings))
            .map_err(HostError::Document)?;
        for secret in &parsed.hidden {
            self.settings.redactor.register(&secret.value);
        }
        Ok(Document { pipeline: parsed.pipeline, path: path.to_owned(), warnings: parsed.warnings })
    }

    /// The documents that a path stands for: itself, or every `.yaml` and `.yml` file of a folder, by name. A workspace stands
    /// for its folder of pipelines.
    pub fn documents(&self, path: &Path) -> Result<Vec<PathBuf>, HostError> {
        if !path.is_dir() {
            return Ok(vec![path.to_owned()]);
        }
        let path = &self.pipelines_folder(path)?;
        let read = |source| HostError::Read { path: path.to_owned(), source };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(read)? {
            let file = entry.map_err(read)?.path();
            if file.is_file()
                && file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
            {
                files.push(file);
            }
        }
        files.sort();
        if files.is_empty() { Err(HostError::NoPipelines { folder: path.to_owned() }) } else { Ok(files) }
    }
}

/// What the engine refused, at the places where the document asks for it.
pub fn point(pipeline: &Pipeline, problems: &[Problem]) -> DocumentErrors {
    let diagnostics = problems
        .iter()
        .map(|problem| {
            Diagnostic::error(problem.code, place(pipeline, problem), problem.message.clone())
                .maybe_help(problem.hint.clone())
        })
        .collect();
    DocumentErrors::new(pipeline.file.clone(), diagnostics)
}

fn place(pipeline: &Pipeline, problem: &Problem) -> Span {
    let source = pipeline.source.connector.location.span;
    let named = |list: &[Spanned<String>], name: &str| {
        list.iter().find(|column| column.value == name).map(|column| column.span)
    };
    if let Some(span) = outside_streams(pipeline, &problem.place) {
        return span;
    }
    let Some(stream) = problem.stream.as_deref().and_then(|name| pipeline.stream(name)) else {
        return source;
    };
    let precise = match &problem.place {
        Place::SyncMode => stream.sync_mode.is_stated().then_some(stream.sync_mode.span),
        Place::CursorField => stream.cursor.as_ref().map(|cursor| cursor.field.span),
        Place::TieBreaker(name) => stream.cursor.as_ref().and_then(|cursor| named(&cursor.tie_breaker, name)),
        Place::Column(name) => stream.columns.as_ref().and_then(|columns| named(columns, name)),
        Place::WriteMode => stream.write.mode.is_stated().then_some(stream.write.mode.span),
        Place::PrimaryKey(Some(name)) => named(&stream.write.primary_key, name),
        Place::UpdateColumn(name) => named(&stream.write.update_columns, name),
        Place::Filter => stream.filter.as_ref().map(|filter| filter.span),
        Place::PartitionKey => {
            let key = stream.partition_key.as_ref().map(|key| key.span);
            key.or(stream.partitions.as_ref().map(|partitions| partitions.span))
        }
        _ => None,
    };
    precise.unwrap_or(stream.name.span)
}

/// A place in the transforms or contracts.
fn outside_streams(pipeline: &Pipeline, place: &Place) -> Option<Span> {
    let contract = |index: &usize| pipeline.contracts.get(*index);
    Some(match place {
        Place::Transform(index) => {
            let transform = pipeline.transforms.get(*index)?;
            transform.connector().map_or(transform.span, |connector| connector.location.span)
        }
        Place::Operation { transform, operation, key } => {
            let transform = pipeline.transforms.get((*transform)?)?;
            let Some(operation) = transform.operations().get(*operation) else { return Some(transform.span) };
            key.and_then(|key| operation.value.span_of(key)).unwrap_or(operation.span)
        }
        Place::Contract(index) => contract(index)?.stream.span,
        Place::RequiredColumn { contract: index, column } => {
            contract(index)?.required_columns.get(*column)?.name.span
        }
        Place::ContractRule { contract: index, rule, key } => {
            let rule = contract(index)?.column_rules.get(*rule)?;
            if *key == Some("column") { rule.column.span } else { rule.check.span }
        }
        _ => return None,
    })
}
