//! What is wrong with an SQL text or with the values it met, in words for people: DataFusion's errors turned into codes,
//! messages and next steps.

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::parser::ParserError;
use rapidbyte_core::sql::SqlProblem;
use rapidbyte_core::{ConnectorError, ErrorCategory, ErrorScope};

use datafusion::arrow::error::ArrowError;

use crate::limits::MESSAGE_BYTES_MAX;

/// A problem whose place is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

impl Problem {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Problem { code, message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn at(self, index: usize, key: Option<&'static str>) -> SqlProblem {
        SqlProblem { index, key, code: self.code, message: self.message, hint: self.hint }
    }
}

/// A column that is not there.
pub(crate) fn unknown_column<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Problem {
    let known: Vec<&str> = known.into_iter().collect();
    let problem = Problem::new("unknown_column", format!("there is no column `{name}`"));
    match closest(name, known.iter().copied()) {
        Some(close) => problem.hint(format!("did you mean `{close}`?")),
        None if known.len() <= 20 => problem.hint(format!("the columns here are {}", quoted(&known))),
        None => problem,
    }
}

pub(crate) fn quoted(names: &[&str]) -> String {
    names.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
}

/// The name that was probably meant.
pub(crate) fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .into_iter()
        .map(|it| (strsim::jaro_winkler(&it.to_lowercase(), &lower), it))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, it)| it)
}

/// What the parser says: `expected an expression, found `FROM` at line 1, column 8`.
pub(crate) fn syntax(error: &ParserError) -> Problem {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message.as_str(),
        ParserError::RecursionLimitExceeded => {
            return Problem::new("sql_too_large", "the SQL is nested too deeply")
                .hint("write it as several operations, one after the other");
        }
    };
    let message = message
        .replace(" at Line: ", " at line ")
        .replace(", Column: ", ", column ")
        .replace("Expected: ", "expected ")
        .replace(", found: ", ", found ");
    Problem::new("sql_syntax", sentence(&message))
}

/// Why DataFusion cannot plan.
pub(crate) fn planning(error: &DataFusionError) -> Problem {
    match error.find_root() {
        DataFusionError::SQL(error, _) => syntax(error),
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                unknown_column(&field.name, valid_fields.iter().map(|it| it.name.as_str()))
            }
            SchemaError::AmbiguousReference { field } => {
                Problem::new("ambiguous_column", format!("column `{}` is in more than one table", field.name))
                    .hint("say which by the table's name: `table.column`")
            }
            SchemaError::DuplicateQualifiedField { name, .. }
            | SchemaError::DuplicateUnqualifiedField { name } => duplicate(name),
        },
        DataFusionError::NotImplemented(message) => Problem::new("sql_unsupported", sentence(message)),
        DataFusionError::Plan(message) => plan_message(message),
        DataFusionError::ArrowError(error, _) => Problem::new("sql_value", arrow_message(error)),
        DataFusionError::Execution(message) => Problem::new("sql_value", sentence(message)),
        other => Problem::new("sql_invalid", sentence(&other.message())),
    }
}

pub(crate) fn duplicate(name: &str) -> Problem {
    Problem::new("duplicate_column", format!("there would be two columns `{name}`"))
        .hint("give one of them another name with `AS`")
}

fn plan_message(message: &str) -> Problem {
    if let Some(rest) = message.strip_prefix("Invalid function '") {
        let (name, rest) = rest.split_once('\'').unwrap_or((rest, ""));
        let problem = Problem::new("unknown_function", format!("there is no function `{name}`"));
        let meant = rest.split_once("Did you mean '").and_then(|(_, it)| it.split_once('\''));
        return match meant {
            // DataFusion suggests something whatever the distance.
            Some((meant, _)) if closest(name, [meant]).is_some() => {
                problem.hint(format!("did you mean `{meant}`?"))
            }
            _ => problem.hint("see the functions in `docs/sql.md`"),
        };
    }
    if message.starts_with("Projections require unique expression names")
        && let Some((_, rest)) = message.split_once("expression \"")
        && let Some((name, _)) = rest.split_once("\" at position")
    {
        return duplicate(name.strip_prefix("input.").unwrap_or(name));
    }
    Problem::new("sql_type", sentence(message))
}

/// A message in our own form: lower case, no final stop, no line breaks, bounded.
pub(crate) fn sentence(message: &str) -> String {
    let message = message.trim().trim_end_matches('.');
    let mut text: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
    for prefix in
        ["Error during planning: ", "Execution error: ", "SQL error: ", "Cast error: ", "Compute error: "]
    {
        if let Some(rest) = text.strip_prefix(prefix) {
            text = rest.to_owned();
        }
    }
    let mut letters = text.chars();
    if let (Some(first), Some(second)) = (letters.next(), letters.next())
        && first.is_uppercase()
        && !second.is_uppercase()
    {
        text = first.to_lowercase().chain(text.chars().skip(1)).collect();
    }
    if text.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

fn arrow_message(error: &ArrowError) -> String {
    match error {
        ArrowError::CastError(message)
        | ArrowError::ParseError(message)
        | ArrowError::ComputeError(message)
        | ArrowError::ArithmeticOverflow(message)
        | ArrowError::InvalidArgumentError(message) => sentence(message),
        ArrowError::DivideByZero => "division by zero".to_owned(),
        other => sentence(&other.to_string()),
    }
}

/// What a value did at run time, as an error of the contract. `what` names operation and column.
pub(crate) fn evaluation(what: &str, error: &DataFusionError) -> ConnectorError {
    match error.find_root() {
        DataFusionError::ArrowError(error, _) => arrow(what, error),
        DataFusionError::Execution(message) => {
            data("evaluation_failed", format!("{what}: {}", sentence(message)))
        }
        DataFusionError::ResourcesExhausted(message) => ConnectorError::new(
            ErrorCategory::Config,
            "out_of_memory",
            format!(
                "{what}: {}; raise `resources.max_memory`, or aggregate in the destination",
                sentence(message)
            ),
        ),
        DataFusionError::External(error) if error.downcast_ref::<ConnectorError>().is_some() => {
            error.downcast_ref::<ConnectorError>().cloned().unwrap_or_else(|| internal(what, "no error"))
        }
        other => internal(what, &other.message()),
    }
}

/// A value that another type does not have, whatever the kernel calls it.
pub(crate) fn cast(what: &str, error: &ArrowError) -> ConnectorError {
    data("cast_failed", format!("{what}: {}", arrow_message(error)))
}

pub(crate) fn arrow(what: &str, error: &ArrowError) -> ConnectorError {
    let code = match error {
        ArrowError::CastError(_) | ArrowError::ParseError(_) => "cast_failed",
        ArrowError::DivideByZero => "division_by_zero",
        ArrowError::ArithmeticOverflow(_) => "arithmetic_overflow",
        ArrowError::ComputeError(_) | ArrowError::InvalidArgumentError(_) => "evaluation_failed",
        other => return internal(what, &other.to_string()),
    };
    data(code, format!("{what}: {}", arrow_message(error)))
}

/// Bad rows in a batch: whoever pushed it may take it apart.
pub(crate) fn data(code: &'static str, message: String) -> ConnectorError {
    let mut error = ConnectorError::new(ErrorCategory::Data, code, message);
    error.scope = ErrorScope::PerBatch;
    error
}

pub(crate) fn internal(what: &str, message: &str) -> ConnectorError {
    ConnectorError::internal("sql_internal", format!("{what}: {}", sentence(message)))
}
