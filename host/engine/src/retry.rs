//! When a task that failed is tried again, and how long it waits before. A pure policy: who waits is `stream.rs`.
//! Refuses to know: tasks, connectors, clocks.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use rapidbyte_core::{BackoffClass, ConnectorError};
use serde::{Deserialize, Serialize};

use crate::limits::{BACKOFF_CLASS_FACTOR, RETRY_AFTER_MS_MAX};

/// What a pipeline says about trying again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts in a row without a new commit, the first one included. 1: never again.
    pub max_attempts: u32,
    pub backoff: Backoff,
    pub initial_delay_ms: u64,
    pub max_delay_ms: u64,
    /// Wait a random part of the upper half of the delay, so that many tasks do not come back at once.
    pub jitter: bool,
    /// Only errors of these categories (`transient-network`) or codes. Empty: whatever the connector calls retryable.
    pub retryable_errors: Vec<String>,
}

/// How the delay grows from attempt to attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    Exponential,
    Linear,
    Fixed,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            max_attempts: 3,
            backoff: Backoff::Exponential,
            initial_delay_ms: 1000,
            max_delay_ms: 30_000,
            jitter: true,
            retryable_errors: Vec::new(),
        }
    }
}

impl RetryPolicy {
    /// A failed task stays failed.
    pub const NEVER: RetryPolicy = RetryPolicy {
        max_attempts: 1,
        backoff: Backoff::Fixed,
        initial_delay_ms: 0,
        max_delay_ms: 0,
        jitter: false,
        retryable_errors: Vec::new(),
    };

    /// How long to wait before the next attempt after `failures` in a row; none: it stays failed.
    pub(crate) fn next(&self, error: &ConnectorError, failures: u32) -> Option<Duration> {
        if failures >= self.max_attempts || !self.covers(error) {
            return None;
        }
        let mut delay = self.delay_ms(error.backoff, failures);
        if self.jitter {
            let half = delay / 2;
            // The hasher's keys are random; that is all the chance a jitter needs.
            delay = half + RandomState::new().hash_one(failures) % (delay - half + 1);
        }
        // The server knows best how long it wants to be left alone.
        let asked = error.retry_after_ms.unwrap_or(0).min(RETRY_AFTER_MS_MAX);
        Some(Duration::from_millis(delay.max(asked)))
    }

    fn delay_ms(&self, class: BackoffClass, failures: u32) -> u64 {
        let first = match class {
            BackoffClass::Fast => self.initial_delay_ms / BACKOFF_CLASS_FACTOR,
            BackoffClass::Normal => self.initial_delay_ms,
            BackoffClass::Slow => self.initial_delay_ms.saturating_mul(BACKOFF_CLASS_FACTOR),
        };
        let factor = match self.backoff {
            Backoff::Fixed => 1,
            Backoff::Linear => u64::from(failures.max(1)),
            Backoff::Exponential => 1u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX),
        };
        first.saturating_mul(factor).min(self.max_delay_ms)
    }

    fn covers(&self, error: &ConnectorError) -> bool {
        let named = |word: &String| *word == error.code || word == error.category.as_str();
        error.retryable && (self.retryable_errors.is_empty() || self.retryable_errors.iter().any(named))
    }
}

#[cfg(test)]
mod tests {
    use rapidbyte_core::ErrorCategory;

    use super::*;

    fn policy(backoff: Backoff) -> RetryPolicy {
        RetryPolicy {
            max_attempts: 6,
            backoff,
            initial_delay_ms: 100,
            max_delay_ms: 1000,
            jitter: false,
            ..RetryPolicy::default()
        }
    }

    fn error(category: ErrorCategory) -> ConnectorError {
        let mut error = ConnectorError::new(category, "reset", "the server went away");
        error.retryable = true;
        error.backoff = BackoffClass::Normal;
        error
    }

    fn delays(policy: &RetryPolicy, error: &ConnectorError) -> Vec<u128> {
        (1..).map_while(|failures| policy.next(error, failures)).map(|delay| delay.as_millis()).collect()
    }

    #[test]
    fn delays_grow_as_they_are_told_and_end_with_the_attempts() {
        let error = error(ErrorCategory::TransientNetwork);
        assert_eq!(delays(&policy(Backoff::Exponential), &error), [100, 200, 400, 800, 1000]);
        assert_eq!(delays(&policy(Backoff::Linear), &error), [100, 200, 300, 400, 500]);
        assert_eq!(delays(&policy(Backoff::Fixed), &error), [100; 5]);
        assert!(delays(&RetryPolicy::NEVER, &error).is_empty());
        let many = RetryPolicy { max_attempts: 200, ..policy(Backoff::Exponential) };
        assert_eq!(many.next(&error, 150).unwrap().as_millis(), 1000, "no overflow");
    }

    #[test]
    fn the_connector_has_a_say() {
        let policy = policy(Backoff::Fixed);
        let mut error = error(ErrorCategory::RateLimit);
        error.retry_after_ms = Some(5000);
        assert_eq!(policy.next(&error, 1).unwrap().as_millis(), 5000, "longer than `max_delay`");
        error.retry_after_ms = Some(u64::MAX);
        assert_eq!(policy.next(&error, 1).unwrap().as_millis(), u128::from(RETRY_AFTER_MS_MAX));
        error.retry_after_ms = None;
        error.backoff = BackoffClass::Slow;
        assert_eq!(policy.next(&error, 1).unwrap().as_millis(), 400);
        error.backoff = BackoffClass::Fast;
        assert_eq!(policy.next(&error, 1).unwrap().as_millis(), 25);
        error.retryable = false;
        assert_eq!(policy.next(&error, 1), None);
    }

    #[test]
    fn words_name_kinds_of_errors() {
        let mut policy = policy(Backoff::Fixed);
        let retried = |policy: &RetryPolicy, error: &ConnectorError| policy.next(error, 1).is_some();
        policy.retryable_errors = vec!["rate-limit".into(), "reset".into()];
        assert!(retried(&policy, &error(ErrorCategory::RateLimit)), "by category");
        assert!(retried(&policy, &error(ErrorCategory::TransientNetwork)), "by code");
        policy.retryable_errors = vec!["rate-limit".into(), "refused".into()];
        assert!(!retried(&policy, &error(ErrorCategory::TransientNetwork)));
    }

    #[test]
    fn jitter_stays_in_the_upper_half() {
        let policy = RetryPolicy { jitter: true, ..policy(Backoff::Fixed) };
        for _ in 0..200 {
            let delay = policy.next(&error(ErrorCategory::TransientDb), 1).unwrap().as_millis();
            assert!((50..=100).contains(&delay), "{delay}");
        }
    }
}
