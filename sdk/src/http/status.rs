//! Which error a status stands for. It decides by numbers alone and knows no API.

use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use hyper::header::{LOCATION, RETRY_AFTER};

use super::Response;
use crate::error::{ConnectorError, ErrorCategory, ErrorScope};
use crate::limits::HTTP_EXCERPT_CHARS_MAX;

/// The error of an answer that is no success. `what` names the request.
pub(super) fn error(what: &str, response: &Response) -> ConnectorError {
    let status = response.status();
    let (category, code) = class(status);
    let mut message = format!("{what} answered {status}");
    if status.is_redirection()
        && let Some(place) = response.header(LOCATION.as_str())
    {
        let place = excerpt(place.split('?').next().unwrap_or_default());
        message.push_str(&format!(": redirects are not followed, it points to `{place}`"));
    } else {
        let text = excerpt(&response.text());
        if !text.is_empty() {
            message.push_str(&format!(": {text}"));
        }
    }
    let mut error = ConnectorError::new(category, code, message)
        .with_scope(ErrorScope::PerStream)
        .with_details(serde_json::json!({ "status": status.as_u16() }));
    if error.retryable {
        let wait =
            response.header(RETRY_AFTER.as_str()).and_then(|value| retry_after(value, SystemTime::now()));
        error.retry_after_ms = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    }
    error
}

fn class(status: StatusCode) -> (ErrorCategory, &'static str) {
    match status.as_u16() {
        401 | 407 => (ErrorCategory::Auth, "http_unauthorized"),
        403 => (ErrorCategory::Auth, "http_forbidden"),
        404 | 410 => (ErrorCategory::Config, "http_not_found"),
        408 => (ErrorCategory::TransientNetwork, "http_timeout"),
        409 | 413 | 422 => (ErrorCategory::Data, "http_refused"),
        425 => (ErrorCategory::TransientNetwork, "http_too_early"),
        429 => (ErrorCategory::RateLimit, "http_too_many_requests"),
        501 | 505 => (ErrorCategory::Config, "http_not_supported"),
        500..=599 => (ErrorCategory::TransientNetwork, "http_server_error"),
        300..=399 => (ErrorCategory::Config, "http_redirect"),
        _ => (ErrorCategory::Config, "http_bad_request"),
    }
}

/// `retry-after` in either of its forms: seconds, or a moment that may be past.
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = httpdate::parse_http_date(value).ok()?;
    Some(moment.duration_since(now).unwrap_or_default())
}

/// The beginning of a text on one line.
fn excerpt(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut line = String::new();
    let mut chars = 0;
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if chars == HTTP_EXCERPT_CHARS_MAX {
                line.push('…');
                return line;
            }
            line.push(c);
            chars += 1;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_moment() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 07:00:00 GMT", now), Some(Duration::ZERO));
        for nonsense in ["", "soon", "-1", "1.5"] {
            assert_eq!(retry_after(nonsense, now), None, "{nonsense}");
        }
    }

    #[test]
    fn excerpts_are_one_short_line() {
        assert_eq!(excerpt(" a\r\n\tb\0c "), "a b c");
        let long = excerpt(&"x".repeat(10_000));
        assert_eq!(long.chars().count(), HTTP_EXCERPT_CHARS_MAX + 1);
        assert!(long.ends_with('…'));
    }
}
