//! The one way out: results to stdout, everything else to stderr, past progress bars and through the redactor.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use anstyle::{AnsiColor, Style};
use indicatif::MultiProgress;
use rapidbyte_host::core::redact::Redactor;
use rapidbyte_host::pipeline::DocumentErrors;
use rapidbyte_host::pipeline::render::Part;
use serde::Serialize;

use crate::args::Format;
use crate::exit::Exit;
use crate::report::{ErrorJson, Report};

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BUSY: Style = AnsiColor::Cyan.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();
const GUTTER: Style = AnsiColor::Blue.on_default().bold();
const STRONG: Style = Style::new().bold();

/// Width of the verb that a status line starts with.
const VERB_COLUMNS: usize = 12;

/// What a status line's verb tells about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Done.
    Good,
    /// Going on.
    Busy,
    Warning,
    Bad,
}

/// Writes for whoever called. Cheap to clone.
#[derive(Clone)]
pub struct Printer(Arc<Inner>);

struct Inner {
    format: Format,
    quiet: bool,
    redactor: Redactor,
    /// The bars that lines are written above, once there are any.
    bars: OnceLock<MultiProgress>,
}

impl Printer {
    pub fn new(format: Format, quiet: bool, redactor: Redactor) -> Self {
        Printer(Arc::new(Inner { format, quiet, redactor, bars: OnceLock::new() }))
    }

    pub fn quiet(&self) -> bool {
        self.0.quiet
    }

    /// Where progress bars are drawn.
    pub fn bars(&self) -> &MultiProgress {
        self.0.bars.get_or_init(MultiProgress::new)
    }

    // ---- stdout: data ----

    /// Lines of a result for people. Silent with `--format json`.
    pub fn data(&self, text: impl Display) {
        if self.0.format != Format::Json {
            self.write_out(&format!("{text}\n"));
        }
    }

    /// The result for machines. Silent otherwise.
    pub fn json(&self, value: &impl Serialize) {
        if self.0.format == Format::Json {
            // Only a map with keys that are no strings could fail, and there is none.
            let text = serde_json::to_string(value).unwrap_or_else(|error| format!("\"{error}\""));
            self.write_out(&format!("{text}\n"));
        }
    }

    // ---- stderr: everything else ----

    /// `   Compiling source-file (connectors/source-file)`
    pub fn status(&self, tone: Tone, verb: &str, message: impl Display) {
        if self.0.quiet {
            return;
        }
        let style = match tone {
            Tone::Good => GOOD,
            Tone::Busy => BUSY,
            Tone::Warning => WARNING,
            Tone::Bad => ERROR,
        };
        self.write_error(&format!("{style}{verb:>VERB_COLUMNS$}{style:#} {message}\n"));
    }

    pub fn warning(&self, message: impl Display) {
        if !self.0.quiet {
            self.write_error(&format!("{WARNING}warning{WARNING:#}{STRONG}:{STRONG:#} {message}\n"));
        }
    }

    /// A warning about a document, rendered already.
    pub fn document_warning(&self, rendered: &str) {
        if !self.0.quiet {
            self.write_error(rendered);
        }
    }

    /// A line of another program's own output.
    pub fn foreign_line(&self, line: &str) {
        if !self.0.quiet {
            self.write_error(&format!("{line}\n"));
        }
    }

    /// Says what went wrong, in JSON too where that is asked for, and with which exit.
    pub fn report(&self, report: &Report) -> Exit {
        #[derive(Serialize)]
        struct Outcome<'a> {
            error: ErrorJson<'a>,
        }
        self.error(report);
        self.json(&Outcome { error: report.json() });
        report.exit
    }

    /// Says what went wrong to people. Not silenced by anything.
    pub fn error(&self, report: &Report) {
        let text = match &report.document {
            // It says what to do next at each place.
            Some(document) => document.render_with(&paint),
            None => {
                let mut text = format!("{ERROR}error{ERROR:#}{STRONG}:{STRONG:#} {}\n", report.message);
                for cause in &report.causes {
                    text.push_str(&format!("  caused by: {cause}\n"));
                }
                if let Some(hint) = &report.hint {
                    text.push_str(&format!("{HINT}hint{HINT:#}{STRONG}:{STRONG:#} {hint}\n"));
                }
                text
            }
        };
        self.write_error(&text);
    }

    /// What is wrong with a document, place by place.
    pub fn document_errors(&self, document: &DocumentErrors) {
        self.write_error(&document.render_with(&paint));
    }

    /// Says of a defect that it is one.
    pub fn report_panics(&self) {
        let printer = self.clone();
        std::panic::set_hook(Box::new(move |panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let message = panic.payload_as_str().unwrap_or("no message");
            printer.error(&Report {
                exit: Exit::Bug,
                code: "bug".to_owned(),
                message: format!("internal error at {place}: {message}"),
                causes: Vec::new(),
                hint: Some(
                    "this is a defect of Rapidbyte, not of yours; please report it with this message"
                        .to_owned(),
                ),
                document: None,
            });
        }));
    }

    /// What stands behind every line on stderr; also for logs.
    pub fn write_error(&self, text: &str) {
        let text = self.0.redactor.redact(text);
        let write = || anstream::stderr().lock().write_all(text.as_bytes());
        // There is nowhere left to say that stderr is gone.
        let _ = match self.0.bars.get() {
            Some(bars) => bars.suspend(write),
            None => write(),
        };
    }

    fn write_out(&self, text: &str) {
        let text = self.0.redactor.redact(text);
        let mut out = anstream::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => {}
            // Whoever closed the pipe has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => self.warning(format!("cannot write the result: {error}")),
        }
    }
}

/// Colours for parts of a rendered document error.
pub fn paint(part: Part, text: &str, out: &mut String) {
    let style = match part {
        Part::Error => ERROR,
        Part::Warning => WARNING,
        Part::Message => STRONG,
        Part::Gutter | Part::Related => GUTTER,
        Part::Help => HINT,
        Part::Plain => return out.push_str(text),
    };
    out.push_str(&format!("{style}{text}{style:#}"));
}
