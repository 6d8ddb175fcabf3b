//! `checkpoints-confirmed`: Every checkpoint is confirmed, in order, and its rows are visible then; one that is not confirmed is not committed.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "checkpoints-confirmed",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Critical,
    explanation: "Every checkpoint is confirmed, in order, and its rows are visible then; one that is not \
                  confirmed is not committed.",
    hint: "Commit, then confirm, then take the next batch.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let mode = subject.any_mode();
    let plan = WritePlan::new(subject, "confirmed", sample::schema(), mode);
    let mut feed = Vec::new();
    for id in 1..=3 {
        feed.extend([Feed::Batch(sample::batch(&[id], 0)?), Feed::Checkpoint]);
    }
    feed.push(Feed::Complete);
    let run = subject.write_all(&plan, &feed).await?;
    let expected = match mode {
        // Nothing of a replacement is there before its end.
        WriteMode::Replace => &run.handed[run.handed.len() - 1..],
        _ => &run.handed[..],
    };
    let confirmed: Vec<u64> = run.confirmed.iter().copied().filter(|id| expected.contains(id)).collect();
    ensure(confirmed == expected, || {
        format!("of checkpoints {expected:?}, {:?} are confirmed", run.confirmed)
    })
}
