//! `resume-from-receipt`: After a run that died, the next one starts by reporting the last checkpoint whose rows are there; going on behind it leaves each row once.

use crate::clause::prelude::*;
use crate::rows::rows_of_batch;

pub const CLAUSE: Clause = Clause {
    name: "resume-from-receipt",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Critical,
    explanation: "After a run that died, the next one starts by reporting the last checkpoint whose rows \
                  are there; going on behind it leaves each row once.",
    hint: "Write the receipt in the same transaction as the rows, and report it before the first \
                  `batch-next`.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    if !subject.info().await?.capabilities.transactional {
        return not_applicable("`open` does not declare `transactional`: delivery is at least once");
    }
    let mode = match subject.manifest.write_modes.contains(&WriteMode::Append) {
        true => WriteMode::Append,
        false => subject.any_mode(),
    };
    if mode == WriteMode::Replace {
        return not_applicable("a replacement is one transaction");
    }
    let plan = WritePlan::new(subject, "resume", sample::schema(), mode);
    let (one, two) = (sample::batch(&[1, 2], 0)?, sample::batch(&[3, 4], 0)?);
    let died = subject
        .write(&plan, &[Feed::Batch(one.clone()), Feed::Checkpoint, Feed::Batch(two.clone()), Feed::Broken])
        .await?;
    ensure(died.result.is_err(), || "a stream that was broken off is written with success".to_owned())?;
    ensure(died.confirmed == died.handed, || {
        format!("checkpoints {:?} were handed over, {:?} confirmed", died.handed, died.confirmed)
    })?;
    let mut expected = rows_of_batch(&one)?;
    subject.must_show(&plan, &expected, "after a run that died behind a checkpoint").await?;
    let resumed = subject.write_all(&plan, &[Feed::Batch(two.clone()), Feed::Checkpoint]).await?;
    let reported: Vec<u64> = resumed.receipts.iter().map(|receipt| receipt.id).collect();
    ensure(reported == died.confirmed, || {
        format!("checkpoint {:?} was committed, the next run reports {reported:?}", died.confirmed)
    })?;
    expected.extend(rows_of_batch(&two)?);
    subject.must_show(&plan, &expected, "after the run that went on").await
}
