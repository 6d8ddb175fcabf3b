//! Strict reading of node trees, shared by pipeline documents and manifests: every key is known, refused by name or an
//! error with a suggestion; every value has one type. Collects errors instead of stopping at the first.

use jiff::Timestamp;

use crate::diagnostic::{Diagnostic, SourceFile};
pub(crate) use crate::format::Keys;
use crate::interpolate::{self, Environment, Mistake, Sources};
use crate::limits::{ERRORS_MAX, EXPRESSION_BYTES_MAX, NODES_MAX, SUGGESTION_CHARS_MAX, VARIABLES_BYTES_MAX};
use crate::node::{Entry, Kind, Node, Scalar, Value, shorten};
use crate::quantity;
use crate::span::{Span, Spanned};
use crate::spec::{Secret, SecretText};

/// What is being read, and what was found wrong so far.
pub(crate) struct Reader<'a> {
    pub file: &'a SourceFile,
    /// None: `${…}` means nothing in this document.
    environment: Option<Environment<'a>>,
    /// None: there is no `now()` in this document.
    pub now: Option<Timestamp>,
    /// As in [`Sources`].
    pub locals: Vec<(&'static str, Option<String>)>,
    variables_bytes_left: usize,
    names_left: usize,
    pub errors: Vec<Diagnostic>,
    pub warnings: Vec<Diagnostic>,
    /// Values of the environment in configs: schemas say which of them are secret.
    pub secrets: Vec<Secret>,
    /// What is secret whatever anybody says.
    pub hidden: Vec<Secret>,
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

impl<'a> Reader<'a> {
    pub fn new(file: &'a SourceFile, environment: Option<Environment<'a>>) -> Self {
        Reader {
            file,
            environment,
            now: None,
            locals: Vec::new(),
            variables_bytes_left: VARIABLES_BYTES_MAX,
            names_left: NODES_MAX,
            errors: Vec::new(),
            warnings: Vec::new(),
            secrets: Vec::new(),
            hidden: Vec::new(),
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
    pub fn section<'n>(
        &mut self,
        node: &'n Node,
        place: &str,
        at: Span,
        keys: impl Into<Keys>,
    ) -> Option<Section<'n>> {
        let keys = keys.into();
        let Kind::Map(entries) = &node.kind else {
            let message = format!("{place} must be a mapping, not {}", node.describe());
            self.error(Diagnostic::error("wrong_type", node.span, message));
            return None;
        };
        for entry in entries {
            let key = entry.key.value.as_str();
            if keys.contains(key) || self.is_full() {
                continue;
            }
            let error = Diagnostic::error(
                "unknown_key",
                entry.key.span,
                format!("unknown key `{}` in {place}", shorten(key)),
            );
            self.error(match (keys.home_of(key), suggest(key, keys.names())) {
                (Some(home), _) => error.help(format!("`{key}` belongs {home}")),
                (None, Some(similar)) => error.label(format!("did you mean `{similar}`?")),
                (None, None) => error.help(format!("{place} may have {}", all_of(keys.names()))),
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

    /// A text of some language, SQL or the shell's: lines may end in it.
    pub fn expression(&mut self, node: &Node, what: &str) -> Option<Spanned<String>> {
        let text = self.text(node, what)?;
        let problem = if text.trim().is_empty() {
            format!("{what} is empty")
        } else if text.len() > EXPRESSION_BYTES_MAX {
            format!("{what} is longer than {EXPRESSION_BYTES_MAX} bytes")
        } else if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            format!("{what} contains a control character")
        } else {
            return Some(text);
        };
        self.error(Diagnostic::error("invalid_value", node.span, problem));
        None
    }

    /// As [`expression`](Self::expression), and what came from the environment is a secret.
    pub fn guarded(&mut self, node: &Node, what: &str) -> Option<Spanned<String>> {
        let text = self.expression(node, what)?;
        self.hide_variables(node, what);
        Some(text)
    }

    /// A text that is a secret as a whole, and what came into it from the environment is one, too.
    pub fn secret(&mut self, node: &Node, what: &str) -> Option<SecretText> {
        let text = self.expression(node, what)?;
        self.hide(what.trim_matches('`'), &text.value);
        self.hide_variables(node, what);
        Some(SecretText::new(text.value, text.span))
    }

    fn hide_variables(&mut self, node: &Node, what: &str) {
        if let Some(scalar) = self.filled(node, what, "a text") {
            for (variable, value) in scalar.variables() {
                self.hide(variable, value);
            }
        }
    }

    /// From now on nobody may see this.
    pub fn hide(&mut self, name: &str, value: &str) {
        let secret = Secret { variable: name.to_owned(), value: value.to_owned() };
        if !value.is_empty() && !self.hidden.contains(&secret) {
            self.hidden.push(secret);
        }
    }

    /// One of several words.
    pub fn word<T: Copy>(
        &mut self,
        node: &Node,
        what: &str,
        words: &[(&'static str, T)],
    ) -> Option<Spanned<T>> {
        // A word such as `null` is meant as it is written.
        let written = node.as_scalar().map(Scalar::raw).unwrap_or_default();
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == written) {
            return Some(Spanned::new(*value, node.span));
        }
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

    /// A number above 0 and at most 1.
    pub fn fraction(&mut self, node: &Node, what: &str) -> Option<f64> {
        let value = match self.filled(node, what, "a number")?.value() {
            Value::Int(value) => value as f64,
            Value::UInt(value) => value as f64,
            Value::Float(value) => value,
            Value::Unrepresentable => f64::NAN,
            _ => {
                let message = format!("{what} must be a number, not {}", node.describe());
                self.error(Diagnostic::error("wrong_type", node.span, message));
                return None;
            }
        };
        if value > 0.0 && value <= 1.0 {
            return Some(value);
        }
        let message = format!("{what} cannot be {}", self.shown(node));
        let help = "it is a share of all records: above 0 and at most 1, so `0.1` for a tenth";
        self.error(Diagnostic::error("out_of_range", node.span, message).help(help));
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
        if !interpolate::needs_filling(scalar.raw()) {
            return Some(scalar.clone());
        }
        let sources = Sources { environment, now: self.now, locals: &self.locals };
        match interpolate::fill(scalar.raw(), &sources, &mut self.variables_bytes_left) {
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
            Mistake::Expression { written: expression, fault } => {
                // What is escaped in the document stands elsewhere than it is read.
                let exact = written.find(&expression).map(|at| {
                    let start = span.start as usize + at;
                    match fault.len {
                        0 => Span::new(start, start + 2),
                        len => Span::new(start + 2 + fault.at, start + 2 + fault.at + len),
                    }
                });
                Diagnostic::error(fault.code, exact.unwrap_or(span), fault.message).maybe_help(fault.help)
            }
            Mistake::Missing { name } => Diagnostic::error(
                "missing_variable",
                place(&format!("${{{name}")),
                format!("the environment variable `{name}` is not set"),
            )
            .help(format!("set it, or give a default: `${{{name}:-value}}`")),
            Mistake::TooLong { name } => Diagnostic::error(
                "document_too_large",
                match name.as_str() {
                    "{{" => span,
                    name => place(&format!("${{{name}")),
                },
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
