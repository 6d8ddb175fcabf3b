//! YAML text → node tree, under budgets for size, depth and what aliases expand to. One document, unique keys, no tags
//! but the core ones. Refuses to know what the keys mean.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span as Marks, Tag};

use crate::diagnostic::{Diagnostic, SourceFile};
use crate::limits::{DEPTH_MAX, ERRORS_MAX, NODES_MAX, SCALAR_BYTES_MAX};
use crate::node::{Entry, Kind, Node, Scalar, shorten};
use crate::span::{Span, Spanned};

/// Reads a document. What is wrong but leaves a tree (a key given twice) is reported and reading goes on; none after
/// an error that leaves no tree.
pub(crate) fn read(
    file: &SourceFile,
    bytes_max: usize,
    empty_help: &str,
    problems: &mut Vec<Diagnostic>,
) -> Option<Node> {
    match read_tree(file, bytes_max, empty_help, problems) {
        Ok(node) => Some(node),
        Err(problem) => {
            problems.push(*problem);
            None
        }
    }
}

fn read_tree(
    file: &SourceFile,
    bytes_max: usize,
    empty_help: &str,
    problems: &mut Vec<Diagnostic>,
) -> Result<Node, Box<Diagnostic>> {
    let text = file.text.as_str();
    if text.len() > bytes_max {
        let message = format!("the document is {} bytes long, more than the {bytes_max} allowed", text.len());
        return Err(Box::new(Diagnostic::error("document_too_large", Span::NONE, message)));
    }
    // The scanner takes a NUL for the end of the text: what follows one would be ignored.
    if let Some((at, c)) = text.char_indices().find(|(_, c)| is_forbidden(*c)) {
        let message = format!("the document contains the control character U+{:04X}", u32::from(c));
        return Err(Box::new(
            Diagnostic::error("control_character", Span::new(at, at + c.len_utf8()), message)
                .help("in a double-quoted text, write it as an escape: `\"\\x00\"`"),
        ));
    }

    let mut builder = Builder::new(file, problems);
    let shielded = variables::shield(text);
    let mut parser = Parser::new_from_str(&shielded);
    while let Some(event) = parser.next_event() {
        let (event, marks) = event.map_err(|error| Box::new(syntax_error(file, &builder.bytes, &error)))?;
        builder.take(event, marks)?;
    }
    builder.root.ok_or_else(|| {
        Box::new(
            Diagnostic::error("empty_document", Span::new(0, 0), "the document is empty").help(empty_help),
        )
    })
}

/// What YAML calls not printable.
fn is_forbidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}'))
        || matches!(c, '\u{fffe}' | '\u{ffff}' | variables::OPEN | variables::CLOSE)
}

/// Makes the tree from the parser's events.
struct Builder<'a> {
    file: &'a SourceFile,
    problems: &'a mut Vec<Diagnostic>,
    bytes: ByteIndex,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
    scalar_bytes: usize,
}

/// A list or mapping whose end has not come yet.
struct Open {
    content: Content,
    start: usize,
    /// Ends at its own bracket rather than behind its last child.
    flow: bool,
    anchor: usize,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: HashMap<String, Span>,
        key: Option<Spanned<String>>,
        merges: Vec<(Span, Node)>,
    },
}

type Step<T = ()> = Result<T, Box<Diagnostic>>;

impl<'a> Builder<'a> {
    fn new(file: &'a SourceFile, problems: &'a mut Vec<Diagnostic>) -> Self {
        Builder {
            file,
            problems,
            bytes: ByteIndex::new(&file.text),
            open: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            nodes: 0,
            scalar_bytes: 0,
        }
    }

    fn take(&mut self, event: Event<'_>, marks: Marks) -> Step {
        let span = self.span(marks);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => Err(Box::new(
                Diagnostic::error("several_documents", span, "the file holds more than one YAML document")
                    .label("a second document starts here")
                    .help("give each pipeline a file of its own"),
            )),
            Event::Scalar(text, style, anchor, tag) => {
                let span = self.trimmed(span);
                let plain = self.core_type(tag.as_deref(), span, style == ScalarStyle::Plain)?;
                let text = variables::unshield(text);
                self.charge(1, text.len(), span)?;
                let scalar = if plain { Scalar::plain(text) } else { Scalar::quoted(text) };
                self.finish(Node::new(Kind::Scalar(scalar), span), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", span)?;
                self.begin(Content::List(Vec::new()), span, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", span)?;
                let (entries, seen, merges) = (Vec::new(), HashMap::new(), Vec::new());
                self.begin(Content::Map { entries, seen, key: None, merges }, span, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    let message =
                        format!("`{}` refers to the very value it stands in", self.file.slice(span));
                    return Err(Box::new(Diagnostic::error("recursive_alias", span, message)));
                };
                // Counted before it is copied: this is what stops an alias bomb.
                let (nodes, bytes) = size_of(node);
                self.charge(nodes, bytes, span)?;
                let node = self.anchors.get(&anchor).cloned().unwrap_or_else(Node::empty_map);
                self.finish(node, 0)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, content: Content, span: Span, anchor: usize) -> Step {
        if self.open.len() >= DEPTH_MAX {
            let message = format!("the document is nested deeper than {DEPTH_MAX} levels");
            return Err(Box::new(Diagnostic::error("nested_too_deep", span, message)));
        }
        self.charge(1, 0, span)?;
        let flow = self.file.text[span.start as usize..].starts_with(['{', '[']);
        self.open.push(Open { content, start: span.start as usize, flow, anchor });
        Ok(())
    }

    fn end(&mut self, span: Span) -> Step {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let last = match &open.content {
            Content::List(items) => items.last().map(|item| item.span),
            Content::Map { entries, .. } => entries.last().map(|entry| entry.value.span),
        };
        let end =
            if open.flow { span.end as usize } else { last.map_or(open.start, |last| last.end as usize) };
        let span = Span::new(open.start, end);
        let kind = match open.content {
            Content::List(items) => Kind::List(items),
            Content::Map { entries, seen, merges, .. } => Kind::Map(self.merge(entries, seen, merges)),
        };
        self.finish(Node::new(kind, span), open.anchor)
    }

    /// A node is complete: remember its anchor and put it where it belongs.
    fn finish(&mut self, node: Node, anchor: usize) -> Step {
        if anchor != 0 {
            let (nodes, bytes) = size_of(&node);
            self.charge(nodes, bytes, node.span)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { key: key @ None, .. } => *key = Some(key_of(self.file, node)?),
            Content::Map { entries, seen, key, merges } => {
                let Some(key) = key.take() else { return Ok(()) };
                let mut node = node;
                // An absent value has no place of its own: its key has.
                if node.span.start >= node.span.end {
                    node.span = key.span;
                }
                let is_merge = key.value == "<<" && self.file.slice(key.span) == "<<";
                match seen.get(&key.value) {
                    Some(first) => {
                        if self.problems.len() <= ERRORS_MAX {
                            let message = format!("the key `{}` is given twice", shorten(&key.value));
                            self.problems.push(
                                Diagnostic::error("duplicate_key", key.span, message)
                                    .label("given again")
                                    .related(*first, "first given here"),
                            );
                        }
                    }
                    None if is_merge => {
                        seen.insert(key.value, key.span);
                        merges.push((key.span, node));
                    }
                    None => {
                        seen.insert(key.value.clone(), key.span);
                        entries.push(Entry { key, value: node });
                    }
                }
            }
        }
        Ok(())
    }

    /// Applies `<<`: keys of the mapping itself win, then those of the earlier mapping.
    fn merge(
        &mut self,
        mut entries: Vec<Entry>,
        mut seen: HashMap<String, Span>,
        merges: Vec<(Span, Node)>,
    ) -> Vec<Entry> {
        for (span, node) in merges {
            let maps = match node.kind {
                Kind::List(items) => items,
                _ => vec![node],
            };
            for map in maps {
                let Kind::Map(merged) = map.kind else {
                    let message = format!("`<<` merges mappings, not {}", map.describe());
                    self.problems.push(Diagnostic::error("wrong_type", span, message));
                    continue;
                };
                for entry in merged {
                    if !seen.contains_key(&entry.key.value) {
                        seen.insert(entry.key.value.clone(), entry.key.span);
                        entries.push(entry);
                    }
                }
            }
        }
        entries
    }

    fn charge(&mut self, nodes: usize, bytes: usize, span: Span) -> Step {
        self.nodes = self.nodes.saturating_add(nodes);
        self.scalar_bytes = self.scalar_bytes.saturating_add(bytes);
        if self.nodes <= NODES_MAX && self.scalar_bytes <= SCALAR_BYTES_MAX {
            return Ok(());
        }
        let message = match self.nodes > NODES_MAX {
            true => format!("the document has more than {NODES_MAX} values once its aliases are expanded"),
            false => {
                format!(
                    "the document has more than {SCALAR_BYTES_MAX} bytes of text once its aliases are expanded"
                )
            }
        };
        Err(Box::new(
            Diagnostic::error("document_too_large", span, message).label("the limit is reached here"),
        ))
    }

    /// Whether a scalar is to be typed as a plain one, given its tag.
    fn core_type(&self, tag: Option<&Tag>, span: Span, plain: bool) -> Step<bool> {
        match tag {
            None => Ok(plain),
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(false),
            Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Ok(false),
            Some(tag)
                if tag.is_yaml_core_schema()
                    && matches!(tag.suffix.as_str(), "int" | "float" | "bool" | "null") =>
            {
                Ok(true)
            }
            Some(tag) => Err(unknown_tag(tag, span)),
        }
    }

    fn collection_tag(&self, tag: Option<&Tag>, expected: &str, span: Span) -> Step {
        match tag {
            Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == expected) => {
                Err(unknown_tag(tag, span))
            }
            _ => Ok(()),
        }
    }

    fn span(&self, marks: Marks) -> Span {
        let text = &self.file.text;
        Span::new(self.bytes.byte(text, marks.start.index()), self.bytes.byte(text, marks.end.index()))
    }

    /// Without the white space that the scanner counts to a scalar.
    fn trimmed(&self, span: Span) -> Span {
        Span::new(span.start as usize, span.start as usize + self.file.slice(span).trim_end().len())
    }
}

fn unknown_tag(tag: &Tag, span: Span) -> Box<Diagnostic> {
    let tag = shorten(&tag.to_string()).into_owned();
    Box::new(
        Diagnostic::error("unknown_tag", span, format!("the YAML tag `{tag}` has no meaning here"))
            .help("remove the tag; values of the environment are written `${NAME}`"),
    )
}

/// The key a node is, if it can be one.
fn key_of(file: &SourceFile, node: Node) -> Step<Spanned<String>> {
    let span = node.span;
    let scalar = match node.kind {
        Kind::Scalar(scalar) => scalar,
        // `{{ now() }}` without quotes is, to YAML, a mapping as the key of a mapping.
        _ if file.text[..span.start as usize].ends_with('{') && file.slice(span).starts_with('{') => {
            let message = "a text that starts with a brace must be quoted";
            return Err(Box::new(
                Diagnostic::error("unquoted_expression", span, message).help("write `\"{{ ... }}\"`"),
            ));
        }
        _ => return Err(Box::new(Diagnostic::error("invalid_key", span, "only a text can be a key"))),
    };
    if scalar.raw().is_empty() {
        return Err(Box::new(Diagnostic::error("invalid_key", span, "a key is empty")));
    }
    Ok(Spanned::new(scalar.raw().to_owned(), span))
}

/// Nodes and scalar bytes of a tree. Trees are no deeper than `DEPTH_MAX`.
fn size_of(node: &Node) -> (usize, usize) {
    match &node.kind {
        Kind::Scalar(scalar) => (1, scalar.raw().len()),
        Kind::List(items) => items.iter().map(size_of).fold((1, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        Kind::Map(entries) => entries
            .iter()
            .map(|entry| (size_of(&entry.value), entry.key.value.len()))
            .fold((1, 0), |a, (b, key)| (a.0 + b.0 + 1, a.1 + b.1 + key)),
    }
}

/// The scanner's word for what it stumbled over, with what usually is behind it.
fn syntax_error(file: &SourceFile, bytes: &ByteIndex, error: &ScanError) -> Diagnostic {
    let at = bytes.byte(&file.text, error.marker().index());
    let end = at + file.text[at..].chars().next().map_or(0, char::len_utf8);
    let span = Span::new(at, end);
    let line = file.position(span.start).line;
    let around = [line, line.saturating_sub(1)];
    let tab = around.into_iter().find_map(|line| {
        let (text, start) = file.line(line);
        let indent = text.len() - text.trim_start().len();
        text[..indent].find('\t').map(|at| Span::new(start + at, start + at + 1))
    });
    if let Some(span) = tab {
        return Diagnostic::error("tab_indentation", span, "a tab cannot indent: YAML allows only spaces")
            .label("this is a tab")
            .help("replace the tab by two spaces");
    }
    let info = error.info().trim_end_matches('.').to_lowercase();
    let help = match info.as_str() {
        "mapping values are not allowed in this context" => {
            Some("a text that contains `: ` must be quoted; else look at the indentation")
        }
        info if info.contains("unknown anchor") => Some("an alias `*name` needs an anchor `&name` before it"),
        info if info.contains("invalid indentation")
            || info.contains("simple key")
            || info.contains("did not find expected") =>
        {
            Some("look at the indentation, and for a bracket or a quote that is not closed")
        }
        _ => None,
    };
    Diagnostic::error("invalid_yaml", span, format!("the document is not valid YAML: {info}"))
        .maybe_help(help.map(str::to_owned))
}

/// `{ port: ${PORT} }` is not YAML: a brace ends a plain text inside of braces. People write it, and the format's own
/// description does, so the scanner is shown other characters for the braces of variables; positions stay the same.
mod variables {
    use std::borrow::Cow;

    use crate::interpolate::is_name;

    /// Stand-ins: code points that are no characters and stand in no text.
    pub const OPEN: char = '\u{fdd0}';
    pub const CLOSE: char = '\u{fdd1}';

    pub fn shield(text: &str) -> Cow<'_, str> {
        if !text.contains("${") {
            return text.into();
        }
        let mut out = String::with_capacity(text.len() + text.len() / 8);
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            out.push_str(&rest[..=at]);
            rest = &rest[at + 1..];
            // Only what `interpolate` takes for a variable, on one line. The next brace ends the search, so that all
            // searches together pass the text once.
            let after = &rest[1..];
            let inner = &after[..after.find(['}', '{', '\n', '\r', '"', '\'']).unwrap_or(0)];
            let name = inner.split_once(":-").map_or(inner, |(name, _)| name);
            if is_name(name) && after[inner.len()..].starts_with('}') {
                out.push(OPEN);
                out.push_str(inner);
                out.push(CLOSE);
                rest = &rest[inner.len() + 2..];
            }
        }
        out.push_str(rest);
        out.into()
    }

    pub fn unshield(text: Cow<'_, str>) -> String {
        match text.contains(OPEN) {
            true => text.replace(OPEN, "{").replace(CLOSE, "}"),
            false => text.into_owned(),
        }
    }
}

/// Characters → bytes, as the scanner counts characters.
struct ByteIndex {
    /// The byte at which every `STEP`th character starts; none for ASCII, where they are the same.
    steps: Option<Vec<u32>>,
}

impl ByteIndex {
    const STEP: usize = 128;

    fn new(text: &str) -> Self {
        if text.is_ascii() {
            return ByteIndex { steps: None };
        }
        let steps =
            text.char_indices().step_by(Self::STEP).map(|(byte, _)| u32::try_from(byte).unwrap_or(u32::MAX));
        ByteIndex { steps: Some(steps.collect()) }
    }

    fn byte(&self, text: &str, index: usize) -> usize {
        let Some(steps) = &self.steps else { return index.min(text.len()) };
        let Some(start) = steps.get(index / Self::STEP) else { return text.len() };
        let start = *start as usize;
        text[start..].char_indices().nth(index % Self::STEP).map_or(text.len(), |(byte, _)| start + byte)
    }
}
