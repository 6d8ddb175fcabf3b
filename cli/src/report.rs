//! What went wrong, as it is shown: one shape for every error, made from whatever the error was. The printer knows how to
//! write it for people and for machines.

use std::fmt;

use rapidbyte_host::HostError;
use rapidbyte_host::core::ConnectorError;
use rapidbyte_host::engine::Fault;
use rapidbyte_host::pipeline::DocumentErrors;
use serde::Serialize;

use crate::exit::Exit;

/// An error that the command line finds itself.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub code: &'static str,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Failure { exit, code, message: message.into(), hint: None }
    }

    /// What was typed makes no sense.
    pub fn usage(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, code, message)
    }

    /// A document of the user's is wrong.
    pub fn document(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Exit::Document, code, message)
    }

    /// This machine lacks something.
    pub fn environment(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Exit::Environment, code, message)
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// An error ready to be shown.
#[derive(Debug, Clone)]
pub struct Report {
    pub exit: Exit,
    /// Stable, for machines.
    pub code: String,
    pub message: String,
    /// What it comes from, the nearest first.
    pub causes: Vec<String>,
    pub hint: Option<String>,
    /// What is wrong with a document, place by place; shown instead of the message.
    pub document: Option<DocumentErrors>,
}

impl Report {
    /// The parts of an error: class and code from the first in its chain that has them, the rest as causes.
    pub fn new(error: &anyhow::Error) -> Self {
        let mut exit = None;
        let mut code = None;
        let mut hint = None;
        let mut document = None;
        for cause in error.chain() {
            let Some(known) = Known::of(cause) else { continue };
            exit.get_or_insert(known.exit);
            code.get_or_insert(known.code);
            hint = hint.or(known.hint);
            document = document.or(known.document);
        }
        if let Some(document) = document {
            return Report::of_document(document);
        }
        let mut causes: Vec<String> = Vec::new();
        for cause in error.chain().skip(1).map(ToString::to_string) {
            // A variant that hands its source's message on would otherwise say it twice.
            if causes.last().is_none_or(|last| *last != cause) {
                causes.push(cause);
            }
        }
        let message = error.to_string();
        causes.retain(|cause| *cause != message);
        Report {
            exit: exit.unwrap_or(Exit::Failed),
            code: code.unwrap_or_else(|| "error".to_owned()),
            message,
            causes,
            hint,
            document: None,
        }
    }

    /// A document's errors: the first as code and message, all of them as diagnostics.
    fn of_document(document: DocumentErrors) -> Self {
        let first = document.errors.first();
        let more = document.errors.len().saturating_sub(1) + document.more;
        let mut message = first.map_or_else(|| document.to_string(), |error| error.message.clone());
        if more > 0 {
            message.push_str(&format!(" (and {more} more)"));
        }
        Report {
            exit: Exit::Document,
            code: first.map_or("document", |error| error.code).to_owned(),
            message,
            causes: Vec::new(),
            hint: first.and_then(|error| error.help.clone()),
            document: Some(document),
        }
    }

    /// What went wrong in a task.
    pub fn of_fault(stream: Option<&str>, fault: &Fault) -> Self {
        let message = match stream {
            Some(stream) => format!("stream `{stream}`: {fault}"),
            None => fault.to_string(),
        };
        Report {
            exit: Exit::of_fault(fault),
            code: fault.error.code.clone(),
            message,
            causes: Vec::new(),
            hint: match Exit::of_fault(fault) {
                Exit::Busy => Some("wait for that run to end, or stop it".to_owned()),
                _ => hint_of(&fault.error),
            },
            document: None,
        }
    }

    /// Arguments that could not be parsed, for machines.
    pub fn usage(error: &clap::Error) -> Self {
        // The message is the first paragraph, a suggestion may follow in another.
        let text = error.to_string();
        let message: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
        let message = message.join(" ");
        let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
        Report {
            exit: Exit::Usage,
            code: "usage".to_owned(),
            message: message.strip_prefix("error: ").unwrap_or(&message).to_owned(),
            causes: Vec::new(),
            hint: Some(tip.unwrap_or("`rapidbyte --help` lists commands and options").to_owned()),
            document: None,
        }
    }

    /// The JSON form; see `docs/exit-codes.md` for `class`.
    pub fn json(&self) -> ErrorJson<'_> {
        ErrorJson {
            class: self.exit.word(),
            exit_code: self.exit.code(),
            code: &self.code,
            message: &self.message,
            causes: &self.causes,
            hint: self.hint.as_deref(),
            diagnostics: self.document.as_ref(),
        }
    }
}

/// An error in JSON.
#[derive(Debug, Serialize)]
pub struct ErrorJson<'a> {
    class: &'static str,
    exit_code: u8,
    code: &'a str,
    message: &'a str,
    causes: &'a [String],
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnostics: Option<&'a DocumentErrors>,
}

/// What an error of a known type says about itself.
struct Known {
    exit: Exit,
    code: String,
    hint: Option<String>,
    document: Option<DocumentErrors>,
}

impl Known {
    fn of(error: &(dyn std::error::Error + 'static)) -> Option<Known> {
        let exit = Exit::of(error)?;
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return Some(Known {
                exit,
                code: failure.code.to_owned(),
                hint: failure.hint.clone(),
                document: None,
            });
        }
        if let Some(error) = error.downcast_ref::<ConnectorError>() {
            return Some(Known { exit, code: error.code.clone(), hint: hint_of(error), document: None });
        }
        let error = error.downcast_ref::<HostError>()?;
        let (hint, document) = match error {
            HostError::Document(document) => (None, Some(document.clone())),
            HostError::Fault(fault) => (error.hint().or_else(|| hint_of(&fault.error)), None),
            _ => (error.hint(), None),
        };
        Some(Known { exit, code: error.code().to_owned(), hint, document })
    }
}

/// The next step that a connector names in its error's details.
fn hint_of(error: &ConnectorError) -> Option<String> {
    let details: serde_json::Value = serde_json::from_str(error.details.as_deref()?).ok()?;
    Some(details.get("hint")?.as_str()?.to_owned())
}
