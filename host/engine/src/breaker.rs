//! The circuit breaker of a run: counts what went wrong over all its tasks, and when that is too much ends the run and
//! keeps the next ones from starting until the cooldown is over.
//! Refuses to know: which errors there are, and who retries.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rapidbyte_core::ports::{StateError, StateStore};
use rapidbyte_core::{ConnectorError, ErrorCategory};
use serde::{Deserialize, Serialize};

use crate::limits::BREAKER_RECORDS_MIN;

/// When to stop trying.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BreakerPolicy {
    /// Refused records and failed attempts of one run, at most.
    pub error_threshold: Option<u64>,
    /// Refused records for each record read, at most; looked at once enough was read to mean something.
    pub error_rate: Option<f64>,
    pub cooldown_ms: u64,
}

/// Counts for one run.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    policy: Option<BreakerPolicy>,
    /// Refused records.
    refused: AtomicU64,
    /// Failed attempts.
    failed: AtomicU64,
    read: AtomicU64,
    /// Why it opened.
    opened: OnceLock<String>,
}

/// What the state keeps of an open breaker.
#[derive(Debug, Serialize, Deserialize)]
struct Open {
    /// Milliseconds since the epoch.
    until_ms: u64,
    why: String,
}

const KEY: &str = "circuit_breaker";

fn scope(pipeline: &str) -> String {
    serde_json::json!(["engine", pipeline]).to_string()
}

impl Breaker {
    pub fn new(policy: Option<BreakerPolicy>) -> Self {
        Breaker { policy, ..Breaker::default() }
    }

    pub fn count_read(&self, records: u64) {
        self.read.fetch_add(records, Ordering::Relaxed);
    }

    /// Counts refused records.
    pub fn count_refused(&self, records: u64) {
        self.refused.fetch_add(records, Ordering::Relaxed);
        self.judge();
    }

    /// Counts an attempt that failed.
    pub fn count_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.judge();
    }

    fn judge(&self) {
        let Some(policy) = self.policy else { return };
        let refused = self.refused.load(Ordering::Relaxed);
        let errors = refused + self.failed.load(Ordering::Relaxed);
        let read = self.read.load(Ordering::Relaxed);
        if let Some(threshold) = policy.error_threshold
            && errors >= threshold
        {
            let _ = self.opened.set(format!("{errors} errors reached `error_threshold` of {threshold}"));
        }
        if let Some(rate) = policy.error_rate
            && read >= BREAKER_RECORDS_MIN
            && refused as f64 > rate * read as f64
        {
            let _ =
                self.opened.set(format!("{refused} of {read} records were refused, `error_rate` is {rate}"));
        }
    }

    /// The error with which every task ends once the breaker is open.
    pub fn error(&self) -> Option<ConnectorError> {
        let why = self.opened.get()?;
        Some(open_error(why, self.policy?.cooldown_ms))
    }

    /// Refuses the run while an earlier one's breaker is open.
    pub async fn check(
        &self,
        pipeline: &str,
        state: &dyn StateStore,
    ) -> Result<Option<ConnectorError>, StateError> {
        let Some(policy) = self.policy else { return Ok(None) };
        let stored = state.get(&scope(pipeline), KEY).await?;
        let Some(open) = stored.and_then(|json| serde_json::from_slice::<Open>(&json).ok()) else {
            return Ok(None);
        };
        // A clock that was set back does not make the cooldown longer than it is.
        let left = open.until_ms.saturating_sub(now_ms()).min(policy.cooldown_ms);
        Ok((left > 0).then(|| open_error(&open.why, left)))
    }

    /// Remembers an open breaker for the next runs.
    pub async fn save(&self, pipeline: &str, state: &dyn StateStore) -> Result<(), StateError> {
        let (Some(policy), Some(why)) = (self.policy, self.opened.get()) else { return Ok(()) };
        let open = Open { until_ms: now_ms().saturating_add(policy.cooldown_ms), why: why.clone() };
        let json = serde_json::to_vec(&open).unwrap_or_default();
        state.put(&scope(pipeline), KEY, &json).await
    }
}

fn open_error(why: &str, left_ms: u64) -> ConnectorError {
    let mut error = ConnectorError::new(
        ErrorCategory::Data,
        "circuit_open",
        format!(
            "the circuit breaker is open: {why}; runs of this pipeline are refused for {} s",
            left_ms.div_ceil(1000)
        ),
    );
    let hint =
        "see the run's errors and `rapidbyte dlq list`, mend the cause, then run it again after the cooldown";
    error.details = Some(serde_json::json!({ "hint": hint }).to_string());
    error
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use rapidbyte_state::SqliteStore;

    use super::*;

    fn breaker(error_threshold: Option<u64>, error_rate: Option<f64>) -> Breaker {
        Breaker::new(Some(BreakerPolicy { error_threshold, error_rate, cooldown_ms: 60_000 }))
    }

    #[test]
    fn opens_by_number_of_refused_records_and_failed_attempts() {
        let breaker = breaker(Some(3), None);
        breaker.count_refused(2);
        assert!(breaker.error().is_none());
        breaker.count_failed();
        assert_eq!(breaker.error().unwrap().code, "circuit_open");
        let without = Breaker::new(None);
        without.count_refused(1_000_000);
        assert!(without.error().is_none());
    }

    #[test]
    fn opens_by_rate_once_enough_was_read() {
        let breaker = breaker(None, Some(0.1));
        breaker.count_read(BREAKER_RECORDS_MIN - 1);
        breaker.count_refused(BREAKER_RECORDS_MIN / 2);
        assert!(breaker.error().is_none(), "too few records to judge by");
        breaker.count_read(BREAKER_RECORDS_MIN);
        breaker.count_refused(1);
        assert!(breaker.error().unwrap().message.contains("error_rate"));
    }

    #[tokio::test]
    async fn an_open_breaker_is_remembered_until_its_cooldown_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("state.db")).unwrap();
        let breaker = breaker(Some(1), None);
        breaker.save("p", &store).await.unwrap();
        assert!(breaker.check("p", &store).await.unwrap().is_none(), "a closed one is not remembered");
        breaker.count_failed();
        breaker.save("p", &store).await.unwrap();
        assert_eq!(breaker.check("p", &store).await.unwrap().unwrap().code, "circuit_open");
        assert!(breaker.check("q", &store).await.unwrap().is_none(), "each pipeline has its own");
        let over = Open { until_ms: now_ms() - 1, why: "errors".into() };
        store.put(&scope("p"), KEY, &serde_json::to_vec(&over).unwrap()).await.unwrap();
        assert!(breaker.check("p", &store).await.unwrap().is_none());
        let far = Open { until_ms: u64::MAX, why: "errors".into() };
        store.put(&scope("p"), KEY, &serde_json::to_vec(&far).unwrap()).await.unwrap();
        let refused = breaker.check("p", &store).await.unwrap().unwrap();
        assert!(refused.message.contains("60 s"), "a clock that jumped: {refused}");
    }
}
