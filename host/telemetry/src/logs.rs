//! Log records: `tracing` events of this process by a layer, and what connectors say by the observer, which knows the stream.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::Key;
use opentelemetry::logs::{AnyValue, LogRecord, Logger, Severity};
use opentelemetry::trace::SpanContext;
use rapidbyte_core::{FieldValue, LogEvent, LogLevel};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::export::Shared;

/// What connectors say is shown as events of these, and exported by the observer.
const OF_CONNECTORS: &str = "connector";
/// Who takes part in the export itself: its events would never end.
const OF_THE_EXPORT: [&str; 5] = ["hyper", "opentelemetry", "reqwest", "rustls", "h2"];

/// Exports `tracing` events as log records. Filter it like any layer.
pub struct LogLayer {
    shared: Arc<Shared>,
}

impl LogLayer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        LogLayer { shared }
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let target = metadata.target();
        let part = target.split([':', '_']).next().unwrap_or(target);
        if part == OF_CONNECTORS || OF_THE_EXPORT.contains(&part) {
            return;
        }
        let mut fields = Fields { shared: &self.shared, message: String::new(), attributes: Vec::new() };
        event.record(&mut fields);
        let Fields { message, attributes, .. } = fields;
        let level = match *metadata.level() {
            Level::TRACE => LogLevel::Trace,
            Level::DEBUG => LogLevel::Debug,
            Level::INFO => LogLevel::Info,
            Level::WARN => LogLevel::Warn,
            Level::ERROR => LogLevel::Error,
        };
        let context = self.shared.current();
        self.shared.emit(target, level, message, attributes, context.as_ref());
    }
}

/// The fields of an event.
struct Fields<'a> {
    shared: &'a Shared,
    message: String,
    attributes: Vec<(Key, AnyValue)>,
}

impl Fields<'_> {
    fn add(&mut self, field: &Field, value: impl Into<AnyValue>) {
        self.attributes.push((Key::from_static_str(field.name()), value.into()));
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let text = self.shared.clean(value);
        if field.name() == "message" {
            self.message = text;
        } else {
            self.add(field, text);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.add(field, value),
            Err(_) => self.add(field, value.to_string()),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }
}

impl Shared {
    /// A connector's line.
    pub fn log(
        &self,
        connector: &str,
        event: &LogEvent,
        mut attributes: Vec<(Key, AnyValue)>,
        context: Option<&SpanContext>,
    ) {
        attributes.push((Key::from_static_str("connector"), self.clean(connector).into()));
        for (name, value) in &event.fields {
            let value: AnyValue = match value {
                FieldValue::Text(text) => self.clean(text).into(),
                FieldValue::Int(value) => (*value).into(),
                FieldValue::Float(value) => (*value).into(),
                FieldValue::Boolean(value) => (*value).into(),
            };
            attributes.push((Key::new(self.clean(name)), value));
        }
        self.emit(OF_CONNECTORS, event.level, self.clean(&event.message), attributes, context);
    }

    /// Puts a record into the queue. Its texts have been cleaned.
    fn emit(
        &self,
        target: &str,
        level: LogLevel,
        message: String,
        attributes: Vec<(Key, AnyValue)>,
        context: Option<&SpanContext>,
    ) {
        let Some(logger) = &self.logger else { return };
        let (severity, text) = match level {
            LogLevel::Trace => (Severity::Trace, "TRACE"),
            LogLevel::Debug => (Severity::Debug, "DEBUG"),
            LogLevel::Info => (Severity::Info, "INFO"),
            LogLevel::Warn => (Severity::Warn, "WARN"),
            LogLevel::Error => (Severity::Error, "ERROR"),
        };
        let mut record = logger.create_log_record();
        record.set_timestamp(SystemTime::now());
        record.set_severity_number(severity);
        record.set_severity_text(text);
        record.set_target(target.to_owned());
        record.set_body(message.into());
        record.add_attributes(attributes);
        if let Some(context) = context {
            record.set_trace_context(context.trace_id(), context.span_id(), Some(context.trace_flags()));
        }
        self.records.made(1);
        logger.emit(record);
    }
}
