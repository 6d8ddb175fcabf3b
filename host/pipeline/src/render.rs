//! Diagnostics as text, in the shape that compilers have taught everybody to read. Colour is the caller's: parts are
//! handed to a painter with their role. Text from documents is shown without control characters.

use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::diagnostic::{Diagnostic, DocumentErrors, Severity, SourceFile};
use crate::limits::SNIPPET_COLUMNS_MAX;
use crate::span::Span;

/// What a piece of rendered text is, for colouring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Error,
    Warning,
    /// The message beside `error`.
    Message,
    /// Line numbers, bars and arrows.
    Gutter,
    /// Marks and label of a related place.
    Related,
    Help,
    /// Source text and everything else.
    Plain,
}

/// Writes a piece of text, coloured or not.
pub type Painter<'a> = &'a dyn Fn(Part, &str, &mut String);

/// Writes everything without colour.
pub fn plain(_: Part, text: &str, out: &mut String) {
    out.push_str(text);
}

impl DocumentErrors {
    /// All errors as text without colour.
    pub fn render(&self) -> String {
        self.render_with(&plain)
    }

    /// All errors as text, a blank line between them.
    pub fn render_with(&self, paint: Painter<'_>) -> String {
        let mut out = String::new();
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            render(&self.file, error, paint, &mut out);
        }
        if self.more > 0 {
            let _ = writeln!(out, "\n... and {} more errors", self.more);
        }
        out
    }
}

/// One diagnostic as text.
pub fn render(file: &SourceFile, diagnostic: &Diagnostic, paint: Painter<'_>, out: &mut String) {
    let (part, word) = match diagnostic.severity {
        Severity::Error => (Part::Error, "error"),
        Severity::Warning => (Part::Warning, "warning"),
    };
    paint(part, &format!("{word}[{}]", diagnostic.code), out);
    paint(Part::Message, &format!(": {}", clean(&diagnostic.message)), out);
    out.push('\n');

    if diagnostic.span.is_none() {
        paint(Part::Gutter, " -->", out);
        paint(Part::Plain, &format!(" {}", clean(&file.name)), out);
        out.push('\n');
        render_help(diagnostic, 0, paint, out);
        return;
    }

    let mut marks = vec![Mark::new(file, diagnostic.span, &diagnostic.label, true)];
    marks.extend(diagnostic.related.iter().map(|(span, label)| Mark::new(file, *span, label, false)));
    let primary_line = marks[0].line;
    let primary_column = file.position(diagnostic.span.start).column;
    marks.sort_by_key(|mark| (mark.line, !mark.primary));
    let gutter = marks.iter().map(|mark| mark.line).max().unwrap_or(1).to_string().len();

    paint(Part::Gutter, &format!("{:gutter$}-->", ""), out);
    paint(Part::Plain, &format!(" {}:{primary_line}:{primary_column}", clean(&file.name)), out);
    out.push('\n');
    paint(Part::Gutter, &format!("{:gutter$} |", ""), out);
    out.push('\n');

    let mut shown: Option<usize> = None;
    for mark in &marks {
        if shown != Some(mark.line) {
            if shown.is_some_and(|line| line + 1 < mark.line) {
                paint(Part::Gutter, "...", out);
                out.push('\n');
            }
            paint(Part::Gutter, &format!("{:>gutter$} |", mark.line), out);
            if !mark.text.is_empty() {
                paint(Part::Plain, &format!(" {}", mark.text), out);
            }
            out.push('\n');
            shown = Some(mark.line);
        }
        paint(Part::Gutter, &format!("{:gutter$} |", ""), out);
        let (sign, mark_part) = if mark.primary { ("^", part) } else { ("-", Part::Related) };
        let label = clean(&mark.label);
        let space = if label.is_empty() { "" } else { " " };
        paint(Part::Plain, &format!(" {:indent$}", "", indent = mark.indent), out);
        paint(mark_part, &format!("{}{space}{label}", sign.repeat(mark.width)), out);
        out.push('\n');
    }
    render_help(diagnostic, gutter, paint, out);
}

fn render_help(diagnostic: &Diagnostic, gutter: usize, paint: Painter<'_>, out: &mut String) {
    let Some(help) = &diagnostic.help else { return };
    paint(Part::Gutter, &format!("{:gutter$} =", ""), out);
    paint(Part::Help, " help", out);
    paint(Part::Plain, &format!(": {}", clean(help)), out);
    out.push('\n');
}

/// One line of source with the cells to be marked under it.
struct Mark {
    line: usize,
    text: String,
    indent: usize,
    width: usize,
    label: String,
    primary: bool,
}

impl Mark {
    fn new(file: &SourceFile, span: Span, label: &str, primary: bool) -> Mark {
        let line = file.position(span.start).line;
        let (text, line_start) = file.line(line);
        let local = |byte: u32| {
            let mut at = (byte as usize).saturating_sub(line_start).min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (start, end) = (local(span.start), local(span.end).max(local(span.start)));
        let before = clean(&text[..start]);
        let marked = clean(&text[start..end]);
        let after = clean(&text[end..]);

        let mut indent = before.width();
        let width = marked.width().clamp(1, SNIPPET_COLUMNS_MAX.saturating_sub(8));
        let mut shown = format!("{before}{marked}{after}").trim_end().to_owned();
        // A long line is cut around what is marked.
        let room = SNIPPET_COLUMNS_MAX;
        if shown.width() > room {
            let skip = (indent + width + 4).saturating_sub(room);
            let (cut, skipped) = cut_columns(&shown, skip, room);
            let lead = if skipped > 0 { "..." } else { "" };
            indent = indent - skipped + lead.len();
            shown = format!("{lead}{cut}...");
        }
        Mark { line, text: shown, indent, width, label: label.to_owned(), primary }
    }
}

/// Drops at least `skip` columns from the front and keeps at most `keep`; also answers how many were dropped.
fn cut_columns(text: &str, skip: usize, keep: usize) -> (String, usize) {
    let (mut skipped, mut kept, mut out) = (0, 0, String::new());
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        if skipped < skip {
            skipped += columns;
        } else if kept + columns <= keep {
            kept += columns;
            out.push(c);
        } else {
            break;
        }
    }
    (out, skipped)
}

/// Without what a terminal would obey: control characters and marks that turn the reading direction. Tabs become spaces.
fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c {
            '\t' => [Some(' '), Some(' '), Some(' '), Some(' ')],
            '\n' | '\r' => [Some(' '), None, None, None],
            c if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                [Some('\u{fffd}'), None, None, None]
            }
            c => [Some(c), None, None, None],
        })
        .flatten()
        .collect()
}
