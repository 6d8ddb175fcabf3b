//! `checkpoints-repeated`: checkpoints without rows between them repeat nothing, in one run and over several.

use crate::clause::prelude::*;
use crate::rows::rows_of_batch;

pub const CLAUSE: Clause = Clause {
    name: "checkpoints-repeated",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Critical,
    explanation: "Checkpoints that follow each other without rows between them, in one run and over several, are each \
                  confirmed and commit nothing twice.",
    hint: "Clear what is pending with the commit, not with the next batch.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let mode = match subject.manifest.write_modes.contains(&WriteMode::Append) {
        true => WriteMode::Append,
        false => subject.any_mode(),
    };
    if mode == WriteMode::Replace {
        return not_applicable("a replacement has one checkpoint that counts");
    }
    let plan = WritePlan::new(subject, "repeated", sample::schema(), mode);
    let (one, two) = (sample::batch(&[1, 2], 0)?, sample::batch(&[3], 0)?);
    let feed = [
        Feed::Batch(one.clone()),
        Feed::Checkpoint,
        Feed::Checkpoint,
        Feed::Batch(two.clone()),
        Feed::Checkpoint,
        Feed::Checkpoint,
    ];
    let mut rows = rows_of_batch(&one)?;
    rows.extend(rows_of_batch(&two)?);
    for (feed, when) in
        [(&feed[..], "after the first run"), (&feed[1..3], "after a run of checkpoints alone")]
    {
        let run = subject.write_all(&plan, feed).await?;
        if run.confirmed != run.handed {
            let (expected, found) = (format!("checkpoints {:?}", run.handed), format!("{:?}", run.confirmed));
            return mismatch(format!("what is confirmed {when}"), expected, found);
        }
        subject.must_show(&plan, &rows, when).await?;
    }
    Ok(())
}
