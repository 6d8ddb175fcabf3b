//! Which records of a batch a destination refuses, found by halving: a batch of `n` records of which `k` are refused takes
//! at most about `2 k log2(n / k)` attempts, and a single one if none is. It knows nothing of batches or of what an attempt
//! does; a destination whose system has transactions makes it inside a savepoint.

use std::ops::Range;

/// What came of an attempt that failed.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure<E> {
    /// Something in the range is refused, and nothing of the range was applied.
    Refused(E),
    /// There is no going on: the connection is lost, say.
    Fatal(E),
}

/// Applies records `0..records`, in order, by calling `attempt` with ranges of them: with all at first, and with halves of
/// what is refused. Answers the records that are refused by themselves, in order, each with its reason; every other one
/// was applied, exactly once. A range that was refused as a whole and whose first half is fine is not tried as a whole
/// again.
///
/// ```
/// use rapidbyte_sdk::bisect::{Failure, bisect};
///
/// # rapidbyte_sdk::testing::block_on(async {
/// let (records, mut written) = ([1, 2, -3, 4], Vec::<i32>::new());
/// let refused = bisect(records.len(), async |range| {
///     if records[range.clone()].iter().any(|record| *record < 0) {
///         return Err(Failure::Refused("negative"));
///     }
///     written.extend(&records[range]);
///     Ok(())
/// })
/// .await;
/// assert_eq!(refused, Ok(vec![(2, "negative")]));
/// assert_eq!(written, [1, 2, 4]);
/// # });
/// ```
///
/// # Errors
/// The first [`Failure::Fatal`].
pub async fn bisect<E>(
    records: usize,
    mut attempt: impl AsyncFnMut(Range<usize>) -> Result<(), Failure<E>>,
) -> Result<Vec<(usize, E)>, E> {
    struct Part {
        range: Range<usize>,
        /// For a second half: how many were refused when the whole was. If none came since, this half has one.
        refused_before: Option<usize>,
    }
    let mut refused = Vec::new();
    let mut parts = vec![Part { range: 0..records, refused_before: None }];
    while let Some(Part { range, refused_before }) = parts.pop() {
        let length = range.len();
        let surely_refused = refused_before == Some(refused.len());
        if length == 0 {
            continue;
        }
        if length == 1 || !surely_refused {
            match attempt(range.clone()).await {
                Ok(()) => continue,
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::Refused(error)) if length == 1 => {
                    refused.push((range.start, error));
                    continue;
                }
                Err(Failure::Refused(_)) => {}
            }
        }
        let middle = range.start + length / 2;
        parts.push(Part { range: middle..range.end, refused_before: Some(refused.len()) });
        parts.push(Part { range: range.start..middle, refused_before: None });
    }
    Ok(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::block_on;

    /// Bisects `records` records of which those in `bad` are refused. Answers what was applied and how many attempts it took.
    fn run(records: usize, bad: &[usize]) -> (Vec<usize>, usize) {
        let (mut applied, mut attempts) = (Vec::new(), 0);
        let refused = block_on(bisect(records, async |range: Range<usize>| {
            attempts += 1;
            if let Some(row) = bad.iter().find(|row| range.contains(row)) {
                return Err(Failure::Refused(*row));
            }
            applied.extend(range);
            Ok(())
        }))
        .unwrap();
        assert!(refused.iter().all(|(row, reason)| row == reason), "each has its own reason");
        assert_eq!(refused.iter().map(|(row, _)| *row).collect::<Vec<_>>(), bad, "of {records}");
        (applied, attempts)
    }

    #[test]
    fn every_record_is_applied_once_and_in_order_or_refused() {
        for records in 0..10 {
            for bits in 0..1_u32 << records {
                let bad: Vec<usize> = (0..records).filter(|row| bits >> row & 1 == 1).collect();
                let (applied, _) = run(records, &bad);
                let good: Vec<usize> = (0..records).filter(|row| !bad.contains(row)).collect();
                assert_eq!(applied, good);
            }
        }
    }

    #[test]
    fn attempts_grow_with_the_logarithm() {
        assert_eq!(run(0, &[]).1, 0);
        assert_eq!(run(100_000, &[]).1, 1);
        // The last record: each first half is fine, and no second half is tried as a whole.
        assert_eq!(run(1_024, &[1_023]).1, 1 + 10 + 1);
        // The first: each second half is tried, as the first half was to blame.
        assert_eq!(run(1_024, &[0]).1, 1 + 2 * 10);
        for (records, count) in [(1_000, 1), (10_000, 7), (65_536, 64), (5_000, 500)] {
            let bad: Vec<usize> = (0..count).map(|number| number * records / count + number % 3).collect();
            let (_, attempts) = run(records, &bad);
            let bound = 2.0 * count as f64 * ((records as f64 / count as f64).log2() + 2.0) + 1.0;
            assert!(
                attempts as f64 <= bound,
                "{attempts} attempts for {count} of {records}, at most {bound}"
            );
        }
        // All of them: not worse than one by one, and as many again.
        let all: Vec<usize> = (0..256).collect();
        assert!(run(256, &all).1 <= 2 * 256);
    }

    #[test]
    fn what_is_fatal_ends_it() {
        let mut attempts = 0;
        let result = block_on(bisect(100, async |range: Range<usize>| {
            attempts += 1;
            Err::<(), _>(if range.len() > 10 { Failure::Refused("no") } else { Failure::Fatal("lost") })
        }));
        assert_eq!(result, Err("lost"));
        assert!(attempts < 10);
    }

    #[test]
    fn a_refusal_that_does_not_come_again_costs_nothing_but_attempts() {
        // Two records that do not go together, such as two of one key: the second is refused, the first stays.
        let mut applied: Vec<usize> = Vec::new();
        let refused = block_on(bisect(8, async |range: Range<usize>| {
            let both = (applied.contains(&1) || range.contains(&1)) && range.contains(&6);
            if both {
                return Err(Failure::Refused("twice"));
            }
            applied.extend(range);
            Ok(())
        }));
        assert_eq!(refused, Ok(vec![(6, "twice")]));
        assert_eq!(applied, [0, 1, 2, 3, 4, 5, 7]);
    }
}
