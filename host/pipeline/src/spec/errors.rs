//! What a pipeline does when something fails: `errors` of the document.

use rapidbyte_core::contract::DataErrorPolicy;
use rapidbyte_core::error::ErrorCategory;
use serde::Serialize;

use super::ConnectorRef;
use crate::limits::{
    BREAKER_COOLDOWN_MS_DEFAULT, RETRY_ATTEMPTS_DEFAULT, RETRY_INITIAL_DELAY_MS_DEFAULT,
    RETRY_MAX_DELAY_MS_DEFAULT,
};
use crate::node::{Kind, Node};
use crate::span::{Span, Spanned};

/// `errors`, with defaults applied.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorsSpec {
    pub retry: RetrySpec,
    /// For records that the source, a transform or a contract refuses; a stream may have its own. The document's words are
    /// `skip_row`, `fail` and `dead_letter`.
    pub on_error: Spanned<DataErrorPolicy>,
    /// Where dead letters go. None: to `destination.dlq_table`, or they stay in the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<DeadLetterSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<BreakerSpec>,
}

impl Default for ErrorsSpec {
    fn default() -> Self {
        ErrorsSpec {
            retry: RetrySpec::default(),
            on_error: Spanned::default_of(DataErrorPolicy::Fail),
            dead_letter: None,
            circuit_breaker: None,
        }
    }
}

/// When a task that failed is started again from its last commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetrySpec {
    /// The first one included: 1 is never again.
    pub max_attempts: u32,
    pub backoff: Backoff,
    pub initial_delay_ms: u64,
    pub max_delay_ms: u64,
    pub jitter: bool,
    /// Empty: whatever the connector calls retryable.
    pub retryable_errors: Vec<Spanned<RetryableError>>,
}

impl Default for RetrySpec {
    fn default() -> Self {
        RetrySpec {
            max_attempts: RETRY_ATTEMPTS_DEFAULT,
            backoff: Backoff::Exponential,
            initial_delay_ms: RETRY_INITIAL_DELAY_MS_DEFAULT,
            max_delay_ms: RETRY_MAX_DELAY_MS_DEFAULT,
            jitter: true,
            retryable_errors: Vec::new(),
        }
    }
}

impl RetrySpec {
    /// Whether the document lets an error of this kind be tried again; what the connector says of it is another question.
    pub fn covers(&self, category: ErrorCategory, code: &str) -> bool {
        self.retryable_errors.is_empty() || self.retryable_errors.iter().any(|kind| kind.is(category, code))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    Exponential,
    Linear,
    Fixed,
}

/// A kind of error, as the document names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RetryableError {
    Category(ErrorCategory),
    /// A connector's own word, or an SQLSTATE.
    Code(String),
}

impl RetryableError {
    /// Words of people for categories of the contract.
    pub(crate) const ALIASES: &'static [(&'static str, ErrorCategory)] = &[
        ("connection_timeout", ErrorCategory::TransientNetwork),
        ("network_error", ErrorCategory::TransientNetwork),
        ("server_error", ErrorCategory::TransientDb),
    ];

    /// What a word stands for: an alias, a category (`rate_limit` or `rate-limit`), else a code.
    pub fn parse(word: &str) -> Self {
        let alias = Self::ALIASES.iter().find(|(alias, _)| *alias == word).map(|(_, category)| *category);
        match alias.or_else(|| ErrorCategory::parse(&word.replace('_', "-"))) {
            Some(category) => RetryableError::Category(category),
            None => RetryableError::Code(word.to_owned()),
        }
    }

    fn is(&self, category: ErrorCategory, code: &str) -> bool {
        match self {
            RetryableError::Category(this) => *this == category,
            RetryableError::Code(this) => this == code,
        }
    }
}

/// A destination for dead letters.
#[derive(Debug, Clone, Serialize)]
pub struct DeadLetterSpec {
    #[serde(flatten)]
    pub connector: ConnectorRef,
    /// Whether the error goes with the record.
    pub include_error: bool,
}

impl DeadLetterSpec {
    /// What stands for a stream's name in the config; `${pipeline}` has been put in.
    pub const STREAM: &'static str = "${stream}";

    /// The connector as it is opened for the dead letters of one stream.
    pub fn connector_for(&self, stream: &str) -> ConnectorRef {
        let mut connector = self.connector.clone();
        connector.config = connector.config.map_nodes(&|node| put_stream(node, stream));
        connector
    }
}

fn put_stream(node: &Node, stream: &str) -> Node {
    let kind = match &node.kind {
        Kind::Scalar(scalar) if scalar.text().contains(DeadLetterSpec::STREAM) => {
            let text = scalar.text().replace(DeadLetterSpec::STREAM, stream);
            Kind::Scalar(scalar.clone().filled(text, scalar.variables().to_vec()))
        }
        Kind::Scalar(scalar) => Kind::Scalar(scalar.clone()),
        Kind::List(items) => Kind::List(items.iter().map(|item| put_stream(item, stream)).collect()),
        Kind::Map(entries) => {
            let mut entries = entries.clone();
            for entry in &mut entries {
                entry.value = put_stream(&entry.value, stream);
            }
            Kind::Map(entries)
        }
    };
    Node::new(kind, node.span)
}

/// When a pipeline stops trying. At least one of the two bounds is there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BreakerSpec {
    /// Refused records of one run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_threshold: Option<u64>,
    /// Refused records of all records, above 0 and at most 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<f64>,
    /// For this long no run of the stream begins.
    pub cooldown_ms: u64,
    /// The place of `circuit_breaker`.
    #[serde(skip)]
    pub span: Span,
}

impl Default for BreakerSpec {
    fn default() -> Self {
        BreakerSpec {
            error_threshold: None,
            error_rate: None,
            cooldown_ms: BREAKER_COOLDOWN_MS_DEFAULT,
            span: Span::NONE,
        }
    }
}
