//! `${NAME}`, `${NAME:-default}` and `$${` in scalars, and where a `{{ … }}` stands. Knows variables only through a function it
//! is given, and never puts a value into a message.

use jiff::Timestamp;

use crate::expression::{self, Evaluated, Fault};
use crate::limits::ERRORS_MAX;

/// Where values of variables come from.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A text with its variables put in, and those (name, value) that were. A default is not a value of the environment.
pub(crate) struct Filled {
    pub text: String,
    pub variables: Vec<(String, String)>,
}

/// What stands for the placeholders of a document.
pub(crate) struct Sources<'a> {
    pub environment: Environment<'a>,
    /// The instant of `now()`: one for the whole document.
    pub now: Option<Timestamp>,
    /// Names that are no variables here; one without a value stays as it is written.
    pub locals: &'a [(&'static str, Option<String>)],
}

/// What is wrong with a placeholder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// Not set, and no default.
    Missing { name: String },
    /// The document would become larger than its budget.
    TooLong { name: String },
    /// Something in `{{ … }}`, at a byte behind the first `{{`; `written` is all of it.
    Expression { written: String, fault: Fault },
    /// No closing brace.
    Unclosed,
    /// Not a name between the braces.
    BadName { inner: String },
}

/// Whether anything in the text has to be replaced.
pub(crate) fn needs_filling(raw: &str) -> bool {
    raw.contains("${") || raw.contains("{{")
}

/// Puts the variables in, as long as `bytes_left` lasts: a long value used a million times is a bomb too. All mistakes
/// of the text are reported.
pub(crate) fn fill(raw: &str, sources: &Sources<'_>, bytes_left: &mut usize) -> Result<Filled, Vec<Mistake>> {
    let mut filled = Filled { text: String::with_capacity(raw.len()), variables: Vec::new() };
    let mut mistakes = Vec::new();
    let mut rest = raw;
    // A text with this many mistakes is not going to be used.
    while let Some(at) = rest.find(['$', '{']).filter(|_| mistakes.len() < ERRORS_MAX) {
        filled.text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("{{") {
            match expression::evaluate(after, sources.environment, sources.now) {
                Ok(evaluated) => {
                    rest = &after[evaluated.end..];
                    put_evaluated(evaluated, bytes_left, &mut filled, &mut mistakes);
                }
                Err(fault) => {
                    // Where it ends is not known either.
                    let known = (fault.at + fault.len).min(after.len());
                    let end = after[known..].find("}}").map_or(after.len(), |end| known + end + 2);
                    mistakes.push(Mistake::Expression { written: rest[..end + 2].to_owned(), fault });
                    break;
                }
            }
        } else if rest.starts_with('{') {
            filled.text.push('{');
            rest = &rest[1..];
        } else if let Some(after) = rest.strip_prefix("$${") {
            filled.text.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let Some(end) = after.find('}') else {
                mistakes.push(Mistake::Unclosed);
                break;
            };
            put(&after[..end], sources, bytes_left, &mut filled, &mut mistakes);
            rest = &after[end + 1..];
        } else {
            filled.text.push('$');
            rest = &rest[1..];
        }
    }
    filled.text.push_str(rest);
    if mistakes.is_empty() { Ok(filled) } else { Err(mistakes) }
}

fn put_evaluated(
    evaluated: Evaluated,
    bytes_left: &mut usize,
    filled: &mut Filled,
    mistakes: &mut Vec<Mistake>,
) {
    let Some(left) = bytes_left.checked_sub(evaluated.text.len()) else {
        mistakes.push(Mistake::TooLong { name: "{{".to_owned() });
        return;
    };
    *bytes_left = left;
    filled.text.push_str(&evaluated.text);
    filled.variables.extend(evaluated.variables);
}

fn put(
    inner: &str,
    sources: &Sources<'_>,
    bytes_left: &mut usize,
    filled: &mut Filled,
    mistakes: &mut Vec<Mistake>,
) {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    if !is_name(name) {
        mistakes.push(Mistake::BadName { inner: inner.to_owned() });
        return;
    }
    if let Some((local, value)) = sources.locals.iter().find(|(local, _)| *local == inner) {
        match value {
            Some(value) => filled.text.push_str(value),
            None => filled.text.push_str(&format!("${{{local}}}")),
        }
        return;
    }
    // As in a shell: a default also stands in for an empty value.
    match ((sources.environment)(name).filter(|value| default.is_none() || !value.is_empty()), default) {
        (Some(value), _) if value.len() > *bytes_left => {
            mistakes.push(Mistake::TooLong { name: name.to_owned() });
        }
        (Some(value), _) => {
            *bytes_left -= value.len();
            filled.text.push_str(&value);
            filled.variables.push((name.to_owned(), value));
        }
        (None, Some(default)) => filled.text.push_str(default),
        (None, None) => mistakes.push(Mistake::Missing { name: name.to_owned() }),
    }
}

pub(crate) fn is_name(name: &str) -> bool {
    name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: Result<&str, Vec<Mistake>>) {
        let environment = |name: &str| match name {
            "HOST" => Some("db".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}".to_owned()),
            _ => None,
        };
        let locals = [("pipeline", Some("shop".to_owned())), ("stream", None)];
        let now = Some("2026-03-01T12:34:56Z".parse().unwrap());
        let sources = Sources { environment: &environment, now, locals: &locals };
        let actual = fill(raw, &sources, &mut 100).map(|filled| filled.text);
        assert_eq!(actual, expected.map(str::to_owned), "{raw}");
    }

    #[test]
    fn fills_and_escapes() {
        check("plain $ and $X and 5$", Ok("plain $ and $X and 5$"));
        check("${HOST}", Ok("db"));
        check("pg://${HOST}:${PORT:-5432}/x", Ok("pg://db:5432/x"));
        check("$${HOST} $$", Ok("${HOST} $$"));
        check("${EMPTY}|${EMPTY:-d}|${NONE:-}", Ok("|d|"));
        check("${NESTED}", Ok("${HOST}"));
        check("ü${HOST}ü", Ok("üdbü"));
        check("${pipeline}/${stream}/x", Ok("shop/${stream}/x"));
        check("{a} { {b: {c", Ok("{a} { {b: {c"));
        check("{{ now() | date('%Y') }}-{{ env('HOST') }}${HOST}", Ok("2026-dbdb"));
        check("{{ '${HOST} }}' }}", Ok("${HOST} }}"));
    }

    #[test]
    fn names_every_mistake() {
        check(
            "${A} ${B}",
            Err(vec![Mistake::Missing { name: "A".into() }, Mistake::Missing { name: "B".into() }]),
        );
        check("${HOST", Err(vec![Mistake::Unclosed]));
        check("${}", Err(vec![Mistake::BadName { inner: String::new() }]));
        check("${a b}", Err(vec![Mistake::BadName { inner: "a b".into() }]));
        check("${HOST}".repeat(51).as_str(), Err(vec![Mistake::TooLong { name: "HOST".into() }]));
        check("${A:?x}", Err(vec![Mistake::BadName { inner: "A:?x".into() }]));
    }
}
