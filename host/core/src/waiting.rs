//! How long one party of a task has waited, in all and over time: a total and a coarse timeline. Reading the clock is left
//! to the moments when somebody really waits, so that what flows freely costs nothing.
//!
//! Refuses to know: what was waited for.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::limits::{TIMELINE_BUCKET_NS_FIRST, TIMELINE_BUCKETS};

/// The waits of one party. Shared by whoever waits and whoever asks afterwards.
#[derive(Debug)]
pub struct Waiting {
    timeline: Mutex<Timeline>,
}

impl Default for Waiting {
    fn default() -> Self {
        Waiting { timeline: Mutex::new(Timeline::new(Instant::now())) }
    }
}

impl Waiting {
    /// Begins a wait, which goes on until the guard is dropped, also where the waiting future is dropped.
    pub fn begin(&self) -> Wait<'_> {
        Wait { waiting: self, began: Instant::now() }
    }

    /// All waits that have ended so far.
    pub fn timeline(&self) -> Timeline {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Timeline> {
        self.timeline.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A wait that is going on.
#[derive(Debug)]
pub struct Wait<'a> {
    waiting: &'a Waiting,
    began: Instant,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.waiting.lock().add(self.began, Instant::now());
    }
}

/// Time spent waiting, in buckets of equal width since an origin. When the buckets are full each two become one, so that a
/// run of any length takes the same memory; widths are the first one times a power of two, hence comparable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    origin: Instant,
    bucket_ns: u64,
    buckets: Vec<u64>,
    total_ns: u64,
}

impl Timeline {
    /// Nothing waited since `origin`.
    pub fn new(origin: Instant) -> Self {
        Timeline { origin, bucket_ns: TIMELINE_BUCKET_NS_FIRST, buckets: Vec::new(), total_ns: 0 }
    }

    /// Notes a wait. What lies before the origin does not count.
    pub fn add(&mut self, began: Instant, ended: Instant) {
        let mut from = nanoseconds(began.saturating_duration_since(self.origin));
        let to = nanoseconds(ended.saturating_duration_since(self.origin));
        if to <= from {
            return;
        }
        self.total_ns = self.total_ns.saturating_add(to - from);
        while to > self.bucket_ns.saturating_mul(TIMELINE_BUCKETS as u64) {
            self.widen();
        }
        while from < to {
            let bucket = from / self.bucket_ns;
            let end = to.min((bucket + 1) * self.bucket_ns);
            let index = bucket as usize;
            if self.buckets.len() <= index {
                self.buckets.resize(index + 1, 0);
            }
            self.buckets[index] += end - from;
            from = end;
        }
    }

    fn widen(&mut self) {
        self.bucket_ns = self.bucket_ns.saturating_mul(2);
        self.buckets = self.buckets.chunks(2).map(|pair| pair.iter().sum()).collect();
    }

    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.total_ns)
    }

    /// How much of a span was waited, read from the buckets: what a bucket holds counts as spread over it evenly.
    pub fn within(&self, began: Instant, ended: Instant) -> Duration {
        let from = nanoseconds(began.saturating_duration_since(self.origin));
        let to = nanoseconds(ended.saturating_duration_since(self.origin));
        if to <= from {
            return Duration::ZERO;
        }
        let mut waited = 0_u64;
        for bucket in from / self.bucket_ns..=(to - 1) / self.bucket_ns {
            let Some(held) = self.buckets.get(bucket as usize) else { break };
            let start = bucket * self.bucket_ns;
            let overlap = to.min(start + self.bucket_ns) - from.max(start);
            waited += (u128::from(*held) * u128::from(overlap) / u128::from(self.bucket_ns)) as u64;
        }
        Duration::from_nanos(waited)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_nanos(TIMELINE_BUCKET_NS_FIRST);

    #[test]
    fn a_wait_is_spread_over_the_buckets_it_lies_in() {
        let origin = Instant::now();
        let mut timeline = Timeline::new(origin);
        timeline.add(origin + FIRST / 2, origin + FIRST * 3);
        assert_eq!(timeline.total(), FIRST * 5 / 2);
        assert_eq!(
            timeline.buckets,
            [TIMELINE_BUCKET_NS_FIRST / 2, FIRST.as_nanos() as u64, FIRST.as_nanos() as u64]
        );
        assert_eq!(timeline.within(origin + FIRST, origin + FIRST * 2), FIRST);
        assert_eq!(timeline.within(origin, origin + FIRST), FIRST / 2);
        assert_eq!(timeline.within(origin + FIRST * 3, origin + FIRST * 9), Duration::ZERO);
        assert_eq!(timeline.within(origin + FIRST, origin), Duration::ZERO);
    }

    #[test]
    fn a_long_run_keeps_its_total_in_as_many_buckets() {
        let origin = Instant::now();
        let mut timeline = Timeline::new(origin);
        let step = FIRST * 7;
        for at in 0..10_000_u32 {
            timeline.add(origin + step * at, origin + step * at + FIRST);
        }
        assert_eq!(timeline.total(), FIRST * 10_000);
        assert!(timeline.buckets.len() <= TIMELINE_BUCKETS);
        assert_eq!(timeline.buckets.iter().sum::<u64>(), (FIRST * 10_000).as_nanos() as u64);
        assert!((timeline.bucket_ns / TIMELINE_BUCKET_NS_FIRST).is_power_of_two());
    }

    #[test]
    fn what_lies_before_the_origin_does_not_count() {
        let before = Instant::now();
        let mut timeline = Timeline::new(before + FIRST);
        timeline.add(before, before + FIRST * 2);
        assert_eq!(timeline.total(), FIRST);
    }

    #[test]
    fn a_dropped_guard_ends_its_wait() {
        let waiting = Waiting::default();
        drop(waiting.begin());
        assert_eq!(waiting.timeline().total(), Duration::from_nanos(waiting.timeline().buckets.iter().sum()));
    }
}
