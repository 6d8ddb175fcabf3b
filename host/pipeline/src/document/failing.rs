//! `errors`: retries, records that are refused, dead letters, the circuit breaker.

use rapidbyte_core::contract::{ConnectorRole, DataErrorPolicy};
use rapidbyte_core::error::ErrorCategory;

use super::read_connector;
use crate::diagnostic::Diagnostic;
use crate::format::{BREAKER, DEAD_LETTER, ERRORS, RETRY};
use crate::limits::{BREAKER_COOLDOWN_MS_MAX, RETRY_ATTEMPTS_MAX, RETRY_DELAY_MS_MAX};
use crate::node::Node;
use crate::reader::{Reader, Section, suggest};
use crate::span::{Span, Spanned};
use crate::spec::{Backoff, BreakerSpec, DeadLetterSpec, ErrorsSpec, RetrySpec, RetryableError};

const ON_ERROR: &[(&str, DataErrorPolicy)] = &[
    ("skip_row", DataErrorPolicy::Skip),
    ("fail", DataErrorPolicy::Fail),
    ("dead_letter", DataErrorPolicy::Dlq),
];
const BACKOFF: &[(&str, Backoff)] =
    &[("exponential", Backoff::Exponential), ("linear", Backoff::Linear), ("fixed", Backoff::Fixed)];
/// A word for an error: of the contract, of a connector, or an SQLSTATE.
const ERROR_WORD_BYTES_MAX: usize = 128;

/// `pipeline` is the document's name, for configs that name it.
pub(super) fn read_errors(
    reader: &mut Reader<'_>,
    document: Section<'_>,
    pipeline: Option<&str>,
) -> Option<ErrorsSpec> {
    let mut errors = ErrorsSpec::default();
    let Some(entry) = document.entry("errors").filter(|entry| !entry.value.is_null()) else {
        return Some(errors);
    };
    let section = reader.section(&entry.value, "`errors`", entry.key.span, &ERRORS)?;
    if let Some(entry) = section.entry("retry") {
        errors.retry = read_retry(reader, &entry.value, entry.key.span).unwrap_or_default();
    }
    if let Some(node) = section.get("on_error") {
        errors.on_error = reader.word(node, "`errors.on_error`", ON_ERROR).unwrap_or(errors.on_error);
    }
    if let Some(entry) = section.entry("dead_letter") {
        errors.dead_letter = read_dead_letter(reader, &entry.value, entry.key.span, pipeline);
    }
    if let Some(entry) = section.entry("circuit_breaker") {
        errors.circuit_breaker = read_breaker(reader, &entry.value, entry.key.span);
    }
    Some(errors)
}

fn read_retry(reader: &mut Reader<'_>, node: &Node, at: Span) -> Option<RetrySpec> {
    let section = reader.section(node, "`errors.retry`", at, &RETRY)?;
    let mut retry = RetrySpec::default();
    if let Some(node) = section.get("max_attempts") {
        let most = u64::from(RETRY_ATTEMPTS_MAX);
        if let Some(attempts) = reader.integer(node, "`errors.retry.max_attempts`", 1, most) {
            retry.max_attempts = u32::try_from(attempts.value).unwrap_or(RETRY_ATTEMPTS_MAX);
        }
    }
    if let Some(node) = section.get("backoff") {
        let backoff = reader.word(node, "`errors.retry.backoff`", BACKOFF);
        retry.backoff = backoff.map_or(retry.backoff, |backoff| backoff.value);
    }
    let initial = duration(reader, section, "errors.retry", "initial_delay", RETRY_DELAY_MS_MAX);
    let max = duration(reader, section, "errors.retry", "max_delay", RETRY_DELAY_MS_MAX);
    retry.initial_delay_ms = initial.map_or(retry.initial_delay_ms, |delay| delay.value);
    match (initial, max) {
        (Some(initial), Some(max)) if max.value < initial.value => {
            reader.error(
                Diagnostic::error(
                    "max_delay_below_initial",
                    max.span,
                    "`max_delay` is shorter than `initial_delay`",
                )
                .related(initial.span, "the first wait is set here")
                .help("raise `max_delay`, or leave it out"),
            );
        }
        (None, Some(max)) => {
            retry.max_delay_ms = max.value;
            retry.initial_delay_ms = retry.initial_delay_ms.min(max.value);
        }
        (_, Some(max)) => retry.max_delay_ms = max.value,
        (_, None) => retry.max_delay_ms = retry.max_delay_ms.max(retry.initial_delay_ms),
    }
    if let Some(node) = section.get("jitter") {
        retry.jitter = reader.boolean(node, "`errors.retry.jitter`").unwrap_or(retry.jitter);
    }
    if let Some(entry) = section.entry("retryable_errors") {
        retry.retryable_errors = read_kinds(reader, &entry.value, entry.key.span).unwrap_or_default();
    }
    Some(retry)
}

/// A time that is not longer than anybody waits.
fn duration(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    place: &str,
    key: &str,
    max_ms: u64,
) -> Option<Spanned<u64>> {
    let node = section.get(key)?;
    bounded_duration(reader, node, &format!("`{place}.{key}`"), max_ms)
}

/// A time above zero.
pub(super) fn bounded_duration(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
    max_ms: u64,
) -> Option<Spanned<u64>> {
    let time = reader.duration_ms(node, what)?;
    if (1..=max_ms).contains(&time.value) {
        return Some(time);
    }
    let message = format!("{what} cannot be {}", reader.shown(node));
    let help = format!("it must be longer than nothing and at most {}h", max_ms / 3_600_000);
    reader.error(Diagnostic::error("out_of_range", node.span, message).help(help));
    None
}

fn read_kinds(reader: &mut Reader<'_>, node: &Node, at: Span) -> Option<Vec<Spanned<RetryableError>>> {
    const WHAT: &str = "`errors.retry.retryable_errors`";
    let names = reader.names(node, WHAT, ERROR_WORD_BYTES_MAX)?;
    if names.is_empty() {
        let help = "leave the key out to retry what the connector calls retryable, or say `max_attempts: 1`";
        reader.error(Diagnostic::error("empty_list", at, format!("{WHAT} is empty")).help(help));
        return None;
    }
    let mut kinds = Vec::with_capacity(names.len());
    for name in names {
        let is_word = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if !is_word {
            let message = format!("{WHAT} names no kind of error");
            let help =
                "kinds are words: `connection_timeout`, `rate_limit`, `server_error`, a connector's code";
            reader.error(Diagnostic::error("invalid_value", name.span, message).help(help));
            continue;
        }
        let kind = RetryableError::parse(&name.value);
        if matches!(kind, RetryableError::Code(_)) {
            let categories = ErrorCategory::ALL.iter().map(|category| category.as_str());
            let known = RetryableError::ALIASES.iter().map(|(alias, _)| *alias).chain(categories);
            let similar = suggest(&name.value, known).map(|word| word.replace('-', "_"));
            // A connector may call its error anything, so this is no mistake for certain.
            if let Some(similar) = similar {
                let message = "this is taken for the code of a connector, not for a kind of error";
                reader.warnings.push(
                    Diagnostic::warning("unknown_error_kind", name.span, message)
                        .label(format!("did you mean `{similar}`?")),
                );
            }
        }
        kinds.push(Spanned::new(kind, name.span));
    }
    Some(kinds)
}

fn read_dead_letter(
    reader: &mut Reader<'_>,
    node: &Node,
    at: Span,
    pipeline: Option<&str>,
) -> Option<DeadLetterSpec> {
    const PLACE: &str = "errors.dead_letter";
    let section = reader.section(node, "`errors.dead_letter`", at, &DEAD_LETTER)?;
    reader.locals = vec![("pipeline", Some(pipeline.unwrap_or_default().to_owned())), ("stream", None)];
    let connector = read_connector(reader, section, ConnectorRole::Destination, PLACE, "destination");
    reader.locals.clear();
    let include_error = match section.get("include_error") {
        Some(node) => reader.boolean(node, "`errors.dead_letter.include_error`").unwrap_or(true),
        None => true,
    };
    Some(DeadLetterSpec { connector: connector?, include_error })
}

fn read_breaker(reader: &mut Reader<'_>, node: &Node, at: Span) -> Option<BreakerSpec> {
    const PLACE: &str = "`errors.circuit_breaker`";
    let section = reader.section(node, PLACE, at, &BREAKER)?;
    let mut breaker = BreakerSpec { span: at, ..BreakerSpec::default() };
    if let Some(node) = section.get("error_threshold") {
        let what = "`errors.circuit_breaker.error_threshold`";
        breaker.error_threshold = reader.integer(node, what, 1, u64::MAX).map(|count| count.value);
    }
    if let Some(node) = section.get("error_rate") {
        breaker.error_rate = reader.fraction(node, "`errors.circuit_breaker.error_rate`");
    }
    if let Some(cooldown) =
        duration(reader, section, "errors.circuit_breaker", "cooldown", BREAKER_COOLDOWN_MS_MAX)
    {
        breaker.cooldown_ms = cooldown.value;
    }
    if section.get("error_threshold").is_none() && section.get("error_rate").is_none() {
        let message = format!("{PLACE} lacks `error_threshold` or `error_rate`");
        let help = "say how many records (`error_threshold: 100`) or which share of them (`error_rate: 0.1`) may be refused";
        reader.error(Diagnostic::error("missing_key", at, message).help(help));
        return None;
    }
    Some(breaker)
}
