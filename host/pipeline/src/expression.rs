//! `{{ … }}` in scalars: `now()`, `days(n)`, `hours(n)`, `minutes(n)`, `env('NAME'[, 'default'])`, `| date('format')`, `+`, `-`,
//! texts, whole numbers, parentheses. Strict: whatever is not this is a fault with its place. Knows no clock and no environment
//! but those it is given, and never puts a value into a message.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::interpolate::{Environment, is_name};
use crate::reader::{one_of, suggest};

/// Parentheses and arguments inside of each other.
const DEPTH_MAX: usize = 32;

const FUNCTIONS: &[&str] = &["now", "days", "hours", "minutes", "env"];
const FILTERS: &[&str] = &["date"];

/// What an expression became, and how far it goes.
#[derive(Debug, PartialEq)]
pub(crate) struct Evaluated {
    pub text: String,
    /// Values (name, value) of the environment in it.
    pub variables: Vec<(String, String)>,
    /// Bytes up to and with `}}`.
    pub end: usize,
}

/// What is wrong, and where: bytes from behind the `{{`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub at: usize,
    pub len: usize,
    pub code: &'static str,
    pub message: String,
    pub help: Option<String>,
}

impl Fault {
    fn new(at: usize, len: usize, message: impl Into<String>) -> Self {
        Fault { at, len, code: "invalid_expression", message: message.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Evaluates the expression that `text` begins with; `text` begins behind the `{{`.
pub(crate) fn evaluate(
    text: &str,
    environment: Environment<'_>,
    now: Option<Timestamp>,
) -> Result<Evaluated, Fault> {
    let token = next(text, 0)?;
    let mut parser = Parser { text, token, environment, now, variables: Vec::new(), depth: 0 };
    let from = parser.token.at;
    let value = parser.expression()?;
    if parser.token.kind != Kind::End {
        return Err(parser.unexpected("`}}`"));
    }
    let end = parser.token.at + parser.token.len;
    let text = match value {
        Value::Text(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Time(time) => time.to_string(),
        Value::Duration(_) => {
            return Err(Fault::new(from, parser.token.at - from, "a duration is no value of its own")
                .help("add it to a time: `now() - days(3)`"));
        }
    };
    Ok(Evaluated { text, variables: parser.variables, end })
}

#[derive(Clone)]
enum Value {
    Time(Timestamp),
    Duration(SignedDuration),
    Number(i64),
    Text(String),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Value::Time(_) => "a time",
            Value::Duration(_) => "a duration",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Name(String),
    Text(String),
    Number(i64),
    Sign(char),
    End,
}

#[derive(Debug, Clone, PartialEq)]
struct Token {
    kind: Kind,
    at: usize,
    len: usize,
}

/// The token at or behind a byte.
fn next(text: &str, from: usize) -> Result<Token, Fault> {
    let unclosed = || Fault::new(0, 0, "a `{{` is not closed by `}}`").help(LITERAL_HELP);
    let rest = text.get(from..).unwrap_or_default();
    let at = from + (rest.len() - rest.trim_start().len());
    let rest = &text[at..];
    let Some(first) = rest.chars().next() else { return Err(unclosed()) };
    let token = |kind, len| Ok(Token { kind, at, len });
    match first {
        '}' if rest.starts_with("}}") => token(Kind::End, 2),
        '(' | ')' | ',' | '|' | '+' | '-' => token(Kind::Sign(first), 1),
        '\'' | '"' => {
            let (value, len) = quoted(rest, first).ok_or_else(|| {
                Fault::new(at, 1, "a text in an expression is not closed")
                    .help(format!("end it with {first}"))
            })?;
            token(Kind::Text(value), len)
        }
        '0'..='9' => {
            let len = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'))
                .unwrap_or(rest.len());
            let number = rest[..len].parse().map_err(|_| {
                Fault::new(at, len, format!("`{}` is no whole number", crate::node::shorten(&rest[..len])))
                    .help("numbers in expressions are whole: `hours(36)` rather than `days(1.5)`")
            })?;
            token(Kind::Number(number), len)
        }
        c if c.is_alphabetic() || c == '_' => {
            let len = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            token(Kind::Name(rest[..len].to_owned()), len)
        }
        other => {
            let shown = other.escape_debug();
            Err(Fault::new(at, other.len_utf8(), format!("`{shown}` has no meaning in an expression"))
                .help(LITERAL_HELP))
        }
    }
}

const LITERAL_HELP: &str = "for the two characters themselves, write `{{ '{{' }}`";

/// A text in quotes and its length, quotes included. A backslash takes the next character as it is.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => value.push(characters.next()?.1),
            c if c == quote => return Some((value, at + 1)),
            c => value.push(c),
        }
    }
    None
}

struct Parser<'a> {
    text: &'a str,
    /// The one that has not been taken yet.
    token: Token,
    environment: Environment<'a>,
    now: Option<Timestamp>,
    variables: Vec<(String, String)>,
    depth: usize,
}

/// An argument and its place.
struct Argument {
    value: Value,
    at: usize,
    len: usize,
}

impl Parser<'_> {
    fn take(&mut self) -> Result<Token, Fault> {
        // Nothing follows the end.
        let following = match self.token.kind {
            Kind::End => self.token.clone(),
            _ => next(self.text, self.token.at + self.token.len)?,
        };
        Ok(std::mem::replace(&mut self.token, following))
    }

    fn is_sign(&self, sign: char) -> bool {
        self.token.kind == Kind::Sign(sign)
    }

    fn expect(&mut self, sign: char) -> Result<(), Fault> {
        match self.is_sign(sign) {
            true => self.take().map(|_| ()),
            false => Err(self.unexpected(&format!("`{sign}`"))),
        }
    }

    fn unexpected(&self, expected: &str) -> Fault {
        let found = match &self.token.kind {
            Kind::End => "the end of the expression".to_owned(),
            Kind::Text(_) => "a text".to_owned(),
            Kind::Name(name) => format!("`{}`", crate::node::shorten(name)),
            Kind::Number(number) => format!("`{number}`"),
            Kind::Sign(sign) => format!("`{sign}`"),
        };
        Fault::new(self.token.at, self.token.len, format!("expected {expected}, found {found}"))
    }

    fn expression(&mut self) -> Result<Value, Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let message = format!("the expression is nested deeper than {DEPTH_MAX} levels");
            return Err(Fault::new(self.token.at, self.token.len, message));
        }
        let mut value = self.piped()?;
        while self.is_sign('+') || self.is_sign('-') {
            let sign = self.take()?;
            let right = self.piped()?;
            value = combine(value, right, &sign)?;
        }
        self.depth -= 1;
        Ok(value)
    }

    fn piped(&mut self) -> Result<Value, Fault> {
        let mut value = self.primary()?;
        while self.is_sign('|') {
            self.take()?;
            let token = self.token.clone();
            let Kind::Name(name) = &token.kind else {
                return Err(self.unexpected("a filter such as `date('%Y-%m-%d')`"));
            };
            self.take()?;
            if !FILTERS.contains(&name.as_str()) {
                return Err(unknown("filter", &token, name, FILTERS));
            }
            let arguments = self.arguments()?;
            value = date(value, &arguments, &token)?;
        }
        Ok(value)
    }

    fn primary(&mut self) -> Result<Value, Fault> {
        let token = self.token.clone();
        match &token.kind {
            Kind::Text(text) => self.take().map(|_| Value::Text(text.clone())),
            Kind::Number(number) => self.take().map(|_| Value::Number(*number)),
            Kind::Sign('-') => {
                self.take()?;
                match self.token.kind {
                    Kind::Number(number) => self.take().map(|_| Value::Number(-number)),
                    _ => Err(self.unexpected("a number behind `-`")),
                }
            }
            Kind::Sign('(') => {
                self.take()?;
                let value = self.expression()?;
                self.expect(')')?;
                Ok(value)
            }
            Kind::Name(name) => {
                self.take()?;
                if !FUNCTIONS.contains(&name.as_str()) {
                    return Err(unknown("function", &token, name, FUNCTIONS));
                }
                if !self.is_sign('(') {
                    let message = format!("`{name}` is a function");
                    return Err(Fault::new(token.at, token.len, message).help(format!("write `{name}(...)`")));
                }
                let arguments = self.arguments()?;
                self.call(name, &arguments, &token)
            }
            _ => Err(self.unexpected("a value such as `now()`")),
        }
    }

    /// `(a, b)`; none at all is none.
    fn arguments(&mut self) -> Result<Vec<Argument>, Fault> {
        let mut arguments = Vec::new();
        self.expect('(')?;
        while !self.is_sign(')') {
            let at = self.token.at;
            let value = self.expression()?;
            let len = self.text[at..self.token.at].trim_end().len();
            arguments.push(Argument { value, at, len });
            if !self.is_sign(')') {
                self.expect(',')?;
            }
        }
        self.take()?;
        Ok(arguments)
    }

    fn call(&mut self, name: &str, arguments: &[Argument], token: &Token) -> Result<Value, Fault> {
        let seconds = match name {
            "now" => {
                count(arguments, 0..=0, token, "`now()` takes nothing")?;
                let fault = || Fault::new(token.at, token.len, "there is no time in this document");
                return self.now.map(Value::Time).ok_or_else(fault);
            }
            "env" => return self.env(arguments, token),
            "days" => 86_400,
            "hours" => 3_600,
            _ => 60,
        };
        count(arguments, 1..=1, token, &format!("`{name}` takes a number: `{name}(3)`"))?;
        match arguments {
            [Argument { value: Value::Number(number), at, len }] => number
                .checked_mul(seconds)
                .map(|seconds| Value::Duration(SignedDuration::from_secs(seconds)))
                .ok_or_else(|| Fault::new(*at, *len, "the duration is out of range")),
            _ => Err(wrong_type(&arguments[0], &format!("`{name}` takes a number"))),
        }
    }

    fn env(&mut self, arguments: &[Argument], token: &Token) -> Result<Value, Fault> {
        count(arguments, 1..=2, token, "`env` takes a name, and a default: `env('NAME', 'default')`")?;
        for argument in arguments {
            if !matches!(argument.value, Value::Text(_)) {
                return Err(wrong_type(argument, "`env` takes texts"));
            }
        }
        let (Value::Text(name), at, len) = (&arguments[0].value, arguments[0].at, arguments[0].len) else {
            return Err(wrong_type(&arguments[0], "`env` takes texts"));
        };
        if !is_name(name) {
            return Err(Fault::new(at, len, "this does not name an environment variable")
                .help("write the name in quotes: `env('NAME')`"));
        }
        let default = arguments.get(1).map(|argument| argument.value.clone());
        // As with `${NAME:-default}`: a default also stands in for an empty value.
        match ((self.environment)(name).filter(|value| default.is_none() || !value.is_empty()), default) {
            (Some(value), _) => {
                self.variables.push((name.clone(), value.clone()));
                Ok(Value::Text(value))
            }
            (None, Some(default)) => Ok(default),
            (None, None) => {
                let message = format!("the environment variable `{name}` is not set");
                let fault = Fault::new(at, len, message)
                    .help(format!("set it, or give a default: `env('{name}', 'value')`"));
                Err(Fault { code: "missing_variable", ..fault })
            }
        }
    }
}

fn count(
    arguments: &[Argument],
    allowed: std::ops::RangeInclusive<usize>,
    token: &Token,
    help: &str,
) -> Result<(), Fault> {
    if allowed.contains(&arguments.len()) {
        return Ok(());
    }
    let problem =
        if arguments.len() > *allowed.end() { "too many arguments" } else { "an argument is missing" };
    Err(Fault::new(token.at, token.len, problem).help(help))
}

fn wrong_type(argument: &Argument, expected: &str) -> Fault {
    Fault::new(argument.at, argument.len, format!("{expected}, not {}", argument.value.kind()))
}

fn unknown(what: &str, token: &Token, name: &str, known: &'static [&'static str]) -> Fault {
    let message = format!("unknown {what} `{}`", crate::node::shorten(name));
    Fault::new(token.at, token.len, message).help(match suggest(name, known.iter().copied()) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => format!("it can be {}", one_of(known.iter().copied())),
    })
}

fn date(value: Value, arguments: &[Argument], token: &Token) -> Result<Value, Fault> {
    count(arguments, 1..=1, token, "`date` takes a format: `date('%Y-%m-%d')`")?;
    let Value::Time(time) = value else {
        return Err(Fault::new(token.at, token.len, format!("`date` formats a time, not {}", value.kind()))
            .help(
                "a filter belongs to what stands right before it: `(now() - days(3)) | date('%Y-%m-%d')`",
            ));
    };
    let argument = &arguments[0];
    let Value::Text(format) = &argument.value else {
        return Err(wrong_type(argument, "`date` takes a format in quotes"));
    };
    let zoned = time.to_zoned(TimeZone::UTC);
    jiff::fmt::strtime::format(format, &zoned).map(Value::Text).map_err(|_| {
        Fault::new(argument.at, argument.len, "this is no format of a date")
            .help("formats are those of `strftime`: `%Y-%m-%dT%H:%M:%SZ`")
    })
}

fn combine(left: Value, right: Value, sign: &Token) -> Result<Value, Fault> {
    let plus = sign.kind == Kind::Sign('+');
    let kinds = (left.kind(), right.kind());
    let sum = match (left, right) {
        (Value::Time(time), Value::Duration(by)) if plus => time.checked_add(by).ok().map(Value::Time),
        (Value::Time(time), Value::Duration(by)) => time.checked_sub(by).ok().map(Value::Time),
        (Value::Duration(by), Value::Time(time)) if plus => time.checked_add(by).ok().map(Value::Time),
        (Value::Duration(a), Value::Duration(b)) if plus => a.checked_add(b).map(Value::Duration),
        (Value::Duration(a), Value::Duration(b)) => a.checked_sub(b).map(Value::Duration),
        (Value::Number(a), Value::Number(b)) if plus => a.checked_add(b).map(Value::Number),
        (Value::Number(a), Value::Number(b)) => a.checked_sub(b).map(Value::Number),
        _ => {
            let message = match plus {
                true => format!("{} and {} cannot be added", kinds.0, kinds.1),
                false => format!("{} cannot be taken from {}", kinds.1, kinds.0),
            };
            return Err(Fault::new(sign.at, sign.len, message)
                .help("a duration can be added to a time and taken from it: `now() - days(3)`"));
        }
    };
    sum.ok_or_else(|| Fault::new(sign.at, sign.len, "the result is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<Evaluated, Fault> {
        let environment = |name: &str| match name {
            "TOKEN" => Some("hunter2".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        evaluate(text, &environment, Some("2026-03-01T12:34:56Z".parse().unwrap()))
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let evaluated = run(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
        assert_eq!(evaluated.text, expected, "{text}");
        assert_eq!(&text[..evaluated.end], text.split_inclusive("}}").next().unwrap(), "{text}");
    }

    #[test]
    fn times_move_and_are_formatted() {
        check(" now() }}", "2026-03-01T12:34:56Z");
        check(" (now() - days(3)) | date('%Y-%m-%dT%H:%M:%SZ') }} and more", "2026-02-26T12:34:56Z");
        check("now()|date(\"%Y\")}}", "2026");
        check(" (hours(1) + now() + minutes(25) + days(-1)) | date('%d %H:%M') }}", "28 13:59");
        check(" (now() - (days(1) + hours(12))) | date('%F') }}", "2026-02-28");
        check(" days(1 + 1) + now() }}", "2026-03-03T12:34:56Z");
    }

    #[test]
    fn texts_and_numbers_stand_for_themselves() {
        check(" '{{' }}", "{{");
        check(r#" "it's \"so\"" }}"#, "it's \"so\"");
        check(" 40 + 2 }}", "42");
        check(" -7 }}", "-7");
    }

    #[test]
    fn the_environment_is_a_secret_and_its_default_is_not() {
        let evaluated = run(" env('TOKEN') }}").unwrap();
        assert_eq!(evaluated.variables, [("TOKEN".to_owned(), "hunter2".to_owned())]);
        for text in [" env('NONE', 'd') }}", " env('EMPTY', 'd') }}"] {
            let evaluated = run(text).unwrap();
            assert_eq!((evaluated.text.as_str(), evaluated.variables.len()), ("d", 0));
        }
        check(" env('EMPTY') }}", "");
    }

    #[test]
    fn faults_have_a_place() {
        for (text, at, message) in [
            (" nwo() }}", "nwo", "unknown function `nwo`"),
            (" now }}", "now", "`now` is a function"),
            (" now() | dat('%Y') }}", "dat", "unknown filter `dat`"),
            (" now() - 3 }}", "-", "a number cannot be taken from a time"),
            (" now() + now() }}", "+", "a time and a time cannot be added"),
            (" now() - days(3) | date('%Y') }}", "date", "`date` formats a time, not a duration"),
            (" days('3') }}", "'3'", "`days` takes a number, not a text"),
            (" days(3) }}", "days(3) ", "a duration is no value of its own"),
            (" days(99999999999999999) }}", "99999999999999999", "the duration is out of range"),
            (" now() + days(99999999) }}", "+", "the result is out of range"),
            (" days(1.5) }}", "1.5", "`1.5` is no whole number"),
            (" 99999999999999999999 }}", "99999999999999999999", "`99999999999999999999` is no whole number"),
            (" now() | date('%!') }}", "'%!'", "this is no format of a date"),
            (" now() | date(3) }}", "3", "`date` takes a format in quotes, not a number"),
            (" now(1) }}", "now", "too many arguments"),
            (" env() }}", "env", "an argument is missing"),
            (" env('a b') }}", "'a b'", "this does not name an environment variable"),
            (" env('NONE') }}", "'NONE'", "the environment variable `NONE` is not set"),
            (" 'open }}", "'", "a text in an expression is not closed"),
            (" now() ", "", "a `{{` is not closed by `}}`"),
            (" }}", "}}", "expected a value such as `now()`, found the end of the expression"),
            (" now() now() }}", "now", "expected `}}`, found `now`"),
            (" x.y }}", ".", "`.` has no meaning in an expression"),
            (" now() * 2 }}", "*", "`*` has no meaning in an expression"),
        ] {
            let fault = run(text).expect_err(text);
            assert_eq!(fault.message, message, "{text}");
            assert_eq!(&text[fault.at..fault.at + fault.len], at, "{text}: {fault:?}");
            assert!(!fault.message.contains("hunter2"));
        }
        let fault = run(&format!("{}1", "(".repeat(100_000))).expect_err("nested");
        assert!(fault.message.contains("nested deeper"), "{fault:?}");
        assert_eq!(run(" day(3) }}").unwrap_err().help.as_deref(), Some("did you mean `days`?"));
    }
}
