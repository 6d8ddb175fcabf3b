//! The washer: every text that leaves a guest passes through it and comes out cut to its limit and without secrets.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

use rapidbyte_core::limits::{
    ERROR_MESSAGE_BYTES_MAX, LOG_FIELDS_MAX, LOG_LINES_PER_SECOND_MAX, LOG_MESSAGE_BYTES_MAX,
    METRIC_NAME_BYTES_MAX,
};
use rapidbyte_core::redact::Redactor;
use rapidbyte_core::{FieldValue, LogEvent, LogLevel, MetricEvent, MetricValue, RecordError};

use crate::bindings::telemetry as wt;
use crate::limits::{
    DETAILS_BYTES_MAX, METRIC_LABELS_MAX, METRIC_SERIES_MAX, NAME_BYTES_MAX, RECORD_ERROR_BYTES_MAX,
    TEXT_BYTES_SEARCHED_MAX,
};

/// Cuts and redacts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Washer {
    redactor: Redactor,
}

impl Washer {
    pub fn new(redactor: Redactor) -> Self {
        Washer { redactor }
    }

    /// Redacts first and cuts then: a secret that the cut halves would not be found.
    pub fn text(&self, text: &str, bytes_max: usize) -> String {
        let text = self.redactor.redact(cut(text, TEXT_BYTES_SEARCHED_MAX));
        if text.len() <= bytes_max {
            return text.into_owned();
        }
        format!("{}…", cut(&text, bytes_max))
    }

    /// A code, an id, a label.
    pub fn name(&self, text: &str) -> String {
        self.text(text, NAME_BYTES_MAX)
    }

    /// A sentence of an error or a report.
    pub fn message(&self, text: &str) -> String {
        self.text(text, ERROR_MESSAGE_BYTES_MAX)
    }

    /// The details of an error: a JSON object, or one with what was given instead.
    pub fn details(&self, details: &str) -> String {
        let redacted = self.redactor.redact(cut(details, TEXT_BYTES_SEARCHED_MAX));
        let is_object =
            || serde_json::from_str::<serde_json::Value>(&redacted).is_ok_and(|value| value.is_object());
        if redacted.len() <= DETAILS_BYTES_MAX && is_object() {
            return redacted.into_owned();
        }
        serde_json::json!({ "text": cut(&redacted, DETAILS_BYTES_MAX / 2) }).to_string()
    }

    pub fn log(&self, event: wt::LogEvent) -> LogEvent {
        let value = |value: wt::FieldValue| match value {
            wt::FieldValue::Text(text) => FieldValue::Text(self.text(&text, NAME_BYTES_MAX * 4)),
            wt::FieldValue::Int(value) => FieldValue::Int(value),
            wt::FieldValue::Float(value) => FieldValue::Float(value),
            wt::FieldValue::Boolean(value) => FieldValue::Boolean(value),
        };
        LogEvent {
            level: event.level.into(),
            message: self.text(&event.message, LOG_MESSAGE_BYTES_MAX),
            fields: event
                .fields
                .into_iter()
                .take(LOG_FIELDS_MAX)
                .map(|(name, field)| (self.name(&name), value(field)))
                .collect(),
        }
    }

    pub fn metric(&self, event: wt::MetricEvent) -> MetricEvent {
        MetricEvent {
            name: self.text(&event.name, METRIC_NAME_BYTES_MAX),
            value: match event.value {
                wt::MetricValue::Counter(value) => MetricValue::Counter(value),
                wt::MetricValue::Gauge(value) => MetricValue::Gauge(value),
                wt::MetricValue::Histogram(value) => MetricValue::Histogram(value),
            },
            labels: event
                .labels
                .into_iter()
                .take(METRIC_LABELS_MAX)
                .map(|(name, value)| (self.name(&name), self.name(&value)))
                .collect(),
        }
    }

    pub fn record_error(&self, error: wt::RecordError) -> RecordError {
        RecordError {
            row: error.row,
            code: self.name(&error.code),
            message: self.text(&error.message, RECORD_ERROR_BYTES_MAX),
        }
    }
}

/// The longest prefix of at most `bytes_max` bytes that ends between characters.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let mut end = bytes_max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Lets so many log lines pass in a second and counts the rest.
#[derive(Debug)]
pub struct LogGate {
    second: Option<Instant>,
    passed: u32,
    dropped: u64,
}

/// What to do with one log line.
pub struct Gated {
    pub pass: bool,
    /// Lines dropped before this one, to be said now.
    pub dropped: u64,
}

impl LogGate {
    pub fn new() -> Self {
        LogGate { second: None, passed: 0, dropped: 0 }
    }

    pub fn line(&mut self, now: Instant) -> Gated {
        let fresh = self.second.is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1));
        let mut said = 0;
        if fresh {
            self.second = Some(now);
            self.passed = 0;
            said = std::mem::take(&mut self.dropped);
        }
        if self.passed < LOG_LINES_PER_SECOND_MAX {
            self.passed += 1;
            return Gated { pass: true, dropped: said };
        }
        self.dropped += 1;
        Gated { pass: false, dropped: 0 }
    }

    /// What was dropped and not yet said.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

/// The line that says how many are missing.
pub fn dropped_lines(count: u64) -> LogEvent {
    LogEvent {
        level: LogLevel::Warn,
        message: format!(
            "{count} log lines were dropped, at most {LOG_LINES_PER_SECOND_MAX} a second are kept"
        ),
        fields: vec![("dropped".into(), FieldValue::Int(i64::try_from(count).unwrap_or(i64::MAX)))],
    }
}

/// Knows the metric series an instance has opened.
#[derive(Debug, Default)]
pub struct Series {
    seen: HashSet<u64>,
}

impl Series {
    /// Whether the event belongs to a known series, or there is room for a new one.
    pub fn admits(&mut self, event: &MetricEvent) -> bool {
        let mut hasher = DefaultHasher::new();
        (&event.name, &event.labels).hash(&mut hasher);
        let key = hasher.finish();
        self.seen.contains(&key) || (self.seen.len() < METRIC_SERIES_MAX && self.seen.insert(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn washer() -> Washer {
        let redactor = Redactor::default();
        redactor.register("hunter2-secret");
        Washer::new(redactor)
    }

    #[test]
    fn a_secret_on_the_cut_is_gone_whole() {
        let text = format!("{}hunter2-secret", "x".repeat(NAME_BYTES_MAX - 7));
        assert!(!washer().name(&text).contains("hunter"));
    }

    #[test]
    fn cuts_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
    }

    #[test]
    fn details_stay_json() {
        let washer = washer();
        assert_eq!(washer.details(r#"{"a":"hunter2-secret"}"#), r#"{"a":"***"}"#);
        assert_eq!(washer.details("hunter2-secret"), r#"{"text":"***"}"#);
        assert_eq!(washer.details("[1]"), r#"{"text":"[1]"}"#);
    }

    #[test]
    fn the_gate_counts_what_it_drops() {
        let mut gate = LogGate::new();
        let start = Instant::now();
        let passed = (0..1000).filter(|_| gate.line(start).pass).count();
        assert_eq!(passed, LOG_LINES_PER_SECOND_MAX as usize);
        let later = gate.line(start + Duration::from_secs(1));
        assert!(later.pass);
        assert_eq!(later.dropped, 1000 - u64::from(LOG_LINES_PER_SECOND_MAX));
    }
}
