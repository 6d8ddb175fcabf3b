//! Strict reading of node trees, shared by pipeline documents and manifests: every key is known, refused by name or an
//! error with a suggestion; every value has one type. Collects errors instead of stopping at the first.

use crate::diagnostic::{Diagnostic, SourceFile};
use crate::interpolate::{self, Environment, Mistake};
use crate::limits::{ERRORS_MAX, NODES_MAX, SUGGESTION_CHARS_MAX, VARIABLES_BYTES_MAX};
use crate::node::{Entry, Kind, Node, Scalar, Value, shorten};
use crate::quantity;
use crate::span::{Span, Spanned};
use crate::spec::Secret;

/// What is being read, and what was found wrong so far.
pub(crate) struct Reader<'a> {
    pub file: &'a SourceFile,
    /// None: `${…}` means nothing in this document.
    environment: Option<Environment<'a>>,
    variables_bytes_left: usize,
    names_left: usize,
    pub errors: Vec<Diagnostic>,
    pub warnings: Vec<Diagnostic>,
    pub secrets: Vec<Secret>,
}

/// A mapping whose keys have been checked.
#[derive(Clone, Copy)]
pub(crate) struct Section<'n> {
    entries: &'n [Entry],
    /// The key it stands at, for what is missing in it.
    pub at: Span,
}

impl<'n> Section<'n> {
    pub fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key.value == key)
    }

    pub fn get(&self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|entry| &entry.value)
    }
}

/// What a mapping may hold.
#[derive(Clone, Copy)]
pub(crate) struct Keys {
    pub known: &'static [&'static str],
    /// Of the format, but not done by this version.
    pub later: &'static [&'static str],
    /// Keys of other mappings that are often sought here, with where they belong.
    pub elsewhere: &'static [(&'static str, &'static str)],
}

impl Keys {
    pub const fn of(known: &'static [&'static str]) -> Keys {
        Keys { known, later: &[], elsewhere: &[] }
    }
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a SourceFile, environment: Option<Environment<'a>>) -> Self {
        Reader {
            file,
            environment,
            variables_bytes_left: VARIABLES_BYTES_MAX,
            names_left: NODES_MAX,
            errors: Vec::new(),
            warnings: Vec::new(),
            secrets: Vec::new(),
        }
    }

    pub fn error(&mut self, error: Diagnostic) {
        if !self.is_full() {
            self.errors.push(error);
        }
    }

    /// Whether further errors are dropped: then they need not be made either.
    pub fn is_full(&self) -> bool {
        // Twice the number shown: repetitions are dropped before they are counted.
        self.errors.len() >= 2 * ERRORS_MAX
    }

    /// Counts names that are copied from one place to many.
    pub fn charge_names(&mut self, count: usize, span: Span) -> bool {
        let enough = self.names_left >= count;
        self.names_left = self.names_left.saturating_sub(count);
        if !enough {
            let message = format!("applied to every stream, the names are more than {NODES_MAX}");
            self.error(Diagnostic::error("document_too_large", span, message));
        }
        enough
    }

    /// A mapping with its keys checked. `place` is how messages call it: "`source`", "stream `invoices`".
    pub fn section<'n>(&mut self, node: &'n Node, place: &str, at: Span, keys: Keys) -> Option<Section<'n>> {
        let Kind::Map(entries) = &node.kind else {
            let message = format!("{place} must be a mapping, not {}", node.describe());
            self.error(Diagnostic::error("wrong_type", node.span, message));
            return None;
        };
        for entry in entries {
            let key = entry.key.value.as_str();
            if keys.known.contains(&key) || self.is_full() {
                continue;
            }
            if keys.later.contains(&key) {
                self.not_yet(&format!("`{}`", shorten(key)), entry.key.span);
                continue;
            }
            let known = keys.known.iter().chain(keys.later).copied();
            let error = Diagnostic::error(
                "unknown_key",
                entry.key.span,
                format!("unknown key `{}` in {place}", shorten(key)),
            );
            let elsewhere = keys.elsewhere.iter().find(|(other, _)| *other == key);
            self.error(match (elsewhere, suggest(key, known)) {
                (Some((_, home)), _) => error.help(format!("`{key}` belongs {home}")),
                (None, Some(similar)) => error.label(format!("did you mean `{similar}`?")),
                (None, None) => {
                    error.help(format!("{place} may have {}", all_of(keys.known.iter().copied())))
                }
            });
        }
        Some(Section { entries, at })
    }

    /// The value of a key that must be there.
    pub fn required<'n>(&mut self, section: Section<'n>, place: &str, key: &str) -> Option<&'n Node> {
        let value = section.get(key);
        if value.is_none() {
            self.error(Diagnostic::error("missing_key", section.at, format!("{place} lacks `{key}`")));
        }
        value
    }

    /// Something of the specification that is not done yet.
    pub fn not_yet(&mut self, what: &str, span: Span) {
        let message = format!("{what} is part of the pipeline format, but this version does not do it yet");
        self.error(Diagnostic::error("not_supported_yet", span, message));
    }

    /// A text. `what` is how messages call it.
    pub fn text(&mut self, node: &Node, what: &str) -> Option<Spanned<String>> {
        let scalar = self.filled(node, what, "a text")?;
        match scalar.value() {
            // What came from the environment has no quotes to show that it is a text.
            _ if scalar.is_from_environment() => {}
            Value::Text(_) => {}
            Value::Null => {
                self.error(Diagnostic::error("wrong_type", node.span, format!("{what} has no value")));
                return None;
            }
            _ => {
                let message = format!("{what} must be a text, not {}", node.describe());
                let help = format!("put it in quotes: `\"{}\"`", shorten(scalar.raw()));
                self.error(Diagnostic::error("wrong_type", node.span, message).help(help));
                return None;
            }
        }
        Some(Spanned::new(scalar.text().to_owned(), node.span))
    }

    /// A text that is not empty, not too long and without control characters.
    pub fn name(&mut self, node: &Node, what: &str, bytes_max: usize) -> Option<Spanned<String>> {
        let name = self.text(node, what)?;
        let problem = if name.is_empty() {
            format!("{what} is empty")
        } else if name.len() > bytes_max {
            format!("{what} is longer than {bytes_max} bytes")
        } else if name.chars().any(char::is_control) {
            format!("{what} contains a control character")
        } else {
            return Some(name);
        };
        self.error(Diagnostic::error("invalid_name", node.span, problem));
        None
    }

    /// One of several words.
    pub fn word<T: Copy>(
        &mut self,
        node: &Node,
        what: &str,
        words: &[(&'static str, T)],
    ) -> Option<Spanned<T>> {
        let text = self.text(node, what)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(Spanned::new(*value, node.span));
        }
        let known = || words.iter().map(|(word, _)| *word);
        let shown = self.shown(node);
        let error = Diagnostic::error("invalid_value", node.span, format!("{what} cannot be {shown}"))
            .help(format!("it can be {}", one_of(known())));
        self.error(match suggest(&text, known()).filter(|_| self.is_literal(node)) {
            Some(similar) => error.label(format!("did you mean `{similar}`?")),
            None => error,
        });
        None
    }

    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        match self.filled(node, what, "`true` or `false`")?.value() {
            Value::Bool(value) => Some(value),
            _ => {
                let message = format!("{what} must be `true` or `false`, not {}", node.describe());
                self.error(Diagnostic::error("wrong_type", node.span, message));
                None
            }
        }
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, node: &Node, what: &str, min: u64, max: u64) -> Option<Spanned<u64>> {
        let value = match self.filled(node, what, "a whole number")?.value() {
            Value::Int(value) => u64::try_from(value).ok(),
            Value::UInt(value) => Some(value),
            Value::Unrepresentable => None,
            _ => {
                let message = format!("{what} must be a whole number, not {}", node.describe());
                self.error(Diagnostic::error("wrong_type", node.span, message));
                return None;
            }
        };
        match value {
            Some(value) if (min..=max).contains(&value) => Some(Spanned::new(value, node.span)),
            _ => {
                let message = format!("{what} cannot be {}", self.shown(node));
                let help = match max {
                    u64::MAX => format!("it must be at least {min}"),
                    _ => format!("it must be between {min} and {max}"),
                };
                self.error(Diagnostic::error("out_of_range", node.span, message).help(help));
                None
            }
        }
    }

    /// A size in bytes.
    pub fn bytes(&mut self, node: &Node, what: &str) -> Option<Spanned<u64>> {
        self.quantity(node, what, "a size such as `64mb`", quantity::parse_bytes)
    }

    /// A time in milliseconds.
    pub fn duration_ms(&mut self, node: &Node, what: &str) -> Option<Spanned<u64>> {
        self.quantity(node, what, "a time such as `30s`", quantity::parse_duration_ms)
    }

    fn quantity(
        &mut self,
        node: &Node,
        what: &str,
        expected: &str,
        parse: fn(&str) -> Result<u64, String>,
    ) -> Option<Spanned<u64>> {
        let scalar = self.filled(node, what, expected)?;
        match parse(scalar.text()) {
            Ok(value) => Some(Spanned::new(value, node.span)),
            Err(help) => {
                let message = format!("{what} must be {expected}, not {}", node.describe());
                self.error(Diagnostic::error("invalid_value", node.span, message).help(help));
                None
            }
        }
    }

    /// The items of a list.
    pub fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        match &node.kind {
            Kind::List(items) => Some(items),
            _ => {
                let message = format!("{what} must be a list, not {}", node.describe());
                let error = Diagnostic::error("wrong_type", node.span, message);
                let help = node
                    .as_scalar()
                    .filter(|scalar| scalar.value() != Value::Null)
                    .map(|scalar| format!("write `[{}]`", shorten(scalar.raw())));
                self.error(error.maybe_help(help));
                None
            }
        }
    }

    /// A list of distinct names.
    pub fn names(&mut self, node: &Node, what: &str, bytes_max: usize) -> Option<Vec<Spanned<String>>> {
        let mut names: Vec<Spanned<String>> = Vec::new();
        let mut seen = std::collections::HashMap::new();
        for item in self.list(node, what)? {
            let Some(name) = self.name(item, &format!("a name in {what}"), bytes_max) else { continue };
            match seen.insert(name.value.clone(), name.span) {
                Some(first) => {
                    let message = format!("{what} names {} twice", self.shown(item));
                    let error = Diagnostic::error("duplicate_name", name.span, message);
                    self.error(error.label("named again").related(first, "first named here"));
                }
                None => names.push(name),
            }
        }
        Some(names)
    }

    /// A node with the environment put in throughout: a connector's config, which has no keys of ours.
    pub fn fill_tree(&mut self, node: &Node) -> Node {
        let kind = match &node.kind {
            Kind::Scalar(scalar) => {
                let scalar = self.fill(scalar, node.span).unwrap_or_else(|| scalar.clone());
                if scalar.value() == Value::Unrepresentable {
                    let message = format!("the number `{}` is out of range", shorten(scalar.raw()));
                    let error = Diagnostic::error("out_of_range", node.span, message);
                    self.error(error.help("if a text is meant, put it in quotes"));
                }
                for (variable, value) in scalar.variables() {
                    let secret = Secret { variable: variable.clone(), value: value.clone() };
                    if !value.is_empty() && !self.secrets.contains(&secret) {
                        self.secrets.push(secret);
                    }
                }
                Kind::Scalar(scalar)
            }
            Kind::List(items) => Kind::List(items.iter().map(|item| self.fill_tree(item)).collect()),
            Kind::Map(entries) => Kind::Map(
                entries
                    .iter()
                    .map(|entry| Entry { key: entry.key.clone(), value: self.fill_tree(&entry.value) })
                    .collect(),
            ),
        };
        Node::new(kind, node.span)
    }

    /// How a message shows a value: as written, so that nothing of the environment is in it.
    pub fn shown(&self, node: &Node) -> String {
        match node.as_scalar() {
            Some(scalar) if self.is_literal(node) => format!("`{}`", shorten(scalar.raw())),
            Some(scalar) => format!("the value of `{}`", shorten(scalar.raw())),
            None => node.describe().into_owned(),
        }
    }

    /// Whether a scalar stands for what is written.
    pub fn is_literal(&self, node: &Node) -> bool {
        self.environment.is_none()
            || node.as_scalar().is_some_and(|scalar| !interpolate::needs_filling(scalar.raw()))
    }

    /// A scalar with the environment put in; an error if it is not a scalar.
    fn filled(&mut self, node: &Node, what: &str, expected: &str) -> Option<Scalar> {
        let Some(scalar) = node.as_scalar() else {
            let message = format!("{what} must be {expected}, not {}", node.describe());
            self.error(Diagnostic::error("wrong_type", node.span, message));
            return None;
        };
        self.fill(scalar, node.span)
    }

    fn fill(&mut self, scalar: &Scalar, span: Span) -> Option<Scalar> {
        let Some(environment) = self.environment else { return Some(scalar.clone()) };
        if scalar.raw().contains("{{") {
            self.not_yet("a `{{ ... }}` expression", span);
            return None;
        }
        if !interpolate::needs_filling(scalar.raw()) {
            return Some(scalar.clone());
        }
        match interpolate::fill(scalar.raw(), environment, &mut self.variables_bytes_left) {
            Ok(filled) => Some(scalar.clone().filled(filled.text, filled.variables)),
            Err(mistakes) => {
                for mistake in mistakes {
                    if self.is_full() {
                        break;
                    }
                    let error = self.mistake(mistake, span);
                    self.error(error);
                }
                None
            }
        }
    }

    fn mistake(&self, mistake: Mistake, span: Span) -> Diagnostic {
        let written = self.file.slice(span);
        // As close as the text allows: escapes of quoted texts may hide it.
        let place = |part: &str| match written.find(part) {
            Some(at) if !part.is_empty() => {
                let rest = &written[at..];
                let end = rest.find('}').map_or(part.len(), |end| end + 1);
                Span::new(span.start as usize + at, span.start as usize + at + end)
            }
            _ => span,
        };
        match mistake {
            Mistake::Missing { name } => Diagnostic::error(
                "missing_variable",
                place(&format!("${{{name}")),
                format!("the environment variable `{name}` is not set"),
            )
            .help(format!("set it, or give a default: `${{{name}:-value}}`")),
            Mistake::TooLong { name } => Diagnostic::error(
                "document_too_large",
                place(&format!("${{{name}")),
                format!(
                    "with `{name}` put in, the document has more than {VARIABLES_BYTES_MAX} bytes of variables"
                ),
            ),
            Mistake::Unclosed => {
                Diagnostic::error("invalid_variable", place("${"), "a `${` is not closed by `}`")
                    .help("for the two characters themselves, write `$${`")
            }
            Mistake::BadName { inner } => Diagnostic::error(
                "invalid_variable",
                place(&format!("${{{inner}")),
                format!("`${{{}}}` does not name an environment variable", shorten(&inner)),
            )
            .help("write `${NAME}` or `${NAME:-default}`; for the characters themselves, `$${`"),
        }
    }
}

/// The most similar of several words, if one is similar enough to be meant.
pub fn suggest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    if word.chars().count() > SUGGESTION_CHARS_MAX {
        return None;
    }
    let folded = word.to_lowercase().replace('-', "_");
    known
        .map(|candidate| {
            (strsim::jaro_winkler(&folded, &candidate.to_lowercase().replace('-', "_")), candidate)
        })
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `a`, `b` and `c`.
pub(crate) fn all_of<'w>(words: impl Iterator<Item = &'w str>) -> String {
    list_words(words, "and")
}

/// `a`, `b` or `c`.
pub(crate) fn one_of<'w>(words: impl Iterator<Item = &'w str>) -> String {
    list_words(words, "or")
}

fn list_words<'w>(words: impl Iterator<Item = &'w str>, joint: &str) -> String {
    let words: Vec<_> = words.map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} {joint} {last}", rest.join(", ")),
    }
}
