//! Errors and warnings about documents: code, place, cause, next step. Several at once, never just the first.
//! Their text form is in `render`; neither knows what the documents mean.

use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::limits::ERRORS_MAX;
use crate::span::Span;

/// A document's name and text, for showing places in it. The text is as written: secrets stand in it as `${NAME}`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SourceFile {
    pub name: String,
    pub text: String,
    line_starts: Vec<u32>,
}

impl SourceFile {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let bytes = text.as_bytes();
        let mut line_starts = vec![0];
        for (at, byte) in bytes.iter().enumerate() {
            // `\n`, `\r\n` and a lone `\r` all end a line, as in YAML.
            if *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')) {
                line_starts.push(u32::try_from(at + 1).unwrap_or(u32::MAX));
            }
        }
        SourceFile { name: name.into(), text, line_starts }
    }

    /// Line and column of a byte, both from 1, the column in characters.
    pub fn position(&self, byte: u32) -> Position {
        let byte = self.floor_char_boundary(byte as usize);
        let line = self.line_starts.partition_point(|start| *start as usize <= byte).max(1);
        let start = self.line_starts[line - 1] as usize;
        let column = self.text[start.min(byte)..byte].chars().count() + 1;
        Position { line, column }
    }

    /// A line's text without its end, and the byte it starts at. Empty past the last line.
    pub fn line(&self, line: usize) -> (&str, usize) {
        let Some(start) = line.checked_sub(1).and_then(|index| self.line_starts.get(index)) else {
            return ("", self.text.len());
        };
        let start = *start as usize;
        let end = self.line_starts.get(line).map_or(self.text.len(), |next| *next as usize);
        (self.text[start..end].trim_end_matches(['\n', '\r']), start)
    }

    /// The text of a span.
    pub fn slice(&self, span: Span) -> &str {
        let start = self.floor_char_boundary(span.start as usize);
        let end = self.floor_char_boundary(span.end as usize).max(start);
        &self.text[start..end]
    }

    fn floor_char_boundary(&self, byte: usize) -> usize {
        let mut byte = byte.min(self.text.len());
        while !self.text.is_char_boundary(byte) {
            byte -= 1;
        }
        byte
    }
}

impl std::fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SourceFile({:?}, {} bytes)", self.name, self.text.len())
    }
}

/// A place for people: both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// One thing to say about a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Stable, for machines: `unknown_key`.
    pub code: &'static str,
    pub message: String,
    pub span: Span,
    /// What stands beside the marks under the snippet; may be empty.
    pub label: String,
    /// Other places that matter.
    pub related: Vec<(Span, String)>,
    /// What to do next.
    pub help: Option<String>,
}

impl Diagnostic {
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            code,
            message: message.into(),
            span,
            label: String::new(),
            related: Vec::new(),
            help: None,
        }
    }

    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, span, message) }
    }

    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }
}

/// Everything that is wrong with one document. Displays as the rendered text without colour; serialises as a list of
/// objects with `severity`, `code`, `message`, `file`, `line`, `column`, `end_line`, `end_column`, `label`, `help`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentErrors {
    pub file: Arc<SourceFile>,
    pub errors: Vec<Diagnostic>,
    /// Errors found beyond those kept.
    pub more: usize,
}

impl DocumentErrors {
    /// In the document's order, without repetitions (an alias shows the same mistake at each use), bounded in number.
    pub fn new(file: Arc<SourceFile>, mut errors: Vec<Diagnostic>) -> Self {
        errors.sort_by_key(|error| (error.span.start, error.span.end));
        errors.dedup_by(|a, b| a.code == b.code && a.span == b.span && a.message == b.message);
        let more = errors.len().saturating_sub(ERRORS_MAX);
        errors.truncate(ERRORS_MAX);
        DocumentErrors { file, errors, more }
    }
}

impl std::error::Error for DocumentErrors {}

impl std::fmt::Display for DocumentErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render())
    }
}

impl Serialize for DocumentErrors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_seq(self.errors.iter().map(|error| Located { file: &self.file, diagnostic: error }))
    }
}

/// A diagnostic with the text its span points into, for its JSON form.
pub struct Located<'a> {
    pub file: &'a SourceFile,
    pub diagnostic: &'a Diagnostic,
}

impl Serialize for Located<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Located { file, diagnostic } = self;
        let place = (!diagnostic.span.is_none())
            .then(|| (file.position(diagnostic.span.start), file.position(diagnostic.span.end)));
        let label = Some(&diagnostic.label).filter(|label| !label.is_empty());
        let mut out = serializer.serialize_struct("Diagnostic", 10)?;
        out.serialize_field("severity", &diagnostic.severity)?;
        out.serialize_field("code", diagnostic.code)?;
        out.serialize_field("message", &diagnostic.message)?;
        out.serialize_field("file", &file.name)?;
        out.serialize_field("line", &place.map(|(start, _)| start.line))?;
        out.serialize_field("column", &place.map(|(start, _)| start.column))?;
        out.serialize_field("end_line", &place.map(|(_, end)| end.line))?;
        out.serialize_field("end_column", &place.map(|(_, end)| end.column))?;
        out.serialize_field("label", &label)?;
        out.serialize_field("help", &diagnostic.help)?;
        out.end()
    }
}
