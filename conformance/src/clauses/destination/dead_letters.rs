//! `dead-letters`: a record that is refused is handed over with its reason, and the others are written.

use crate::clause::prelude::*;
use crate::rows::{rows_of, rows_of_batch};
use rapidbyte_host::core::{DataErrorPolicy, Policies};

pub const CLAUSE: Clause = Clause {
    name: "dead-letters",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Critical,
    explanation: "With the data-error policy `dlq` a record that is refused is handed over as it came, with a code and a \
                  message, and all others are written; with `fail` nothing of its checkpoint is.",
    hint: "Hand `telemetry-dlq` a frame of the refused rows, and for each an error with the row's index in that frame.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let batch = sample::refusable()?;
    let all = rows_of_batch(&batch)?;
    let feed = [Feed::Batch(batch.clone()), Feed::Complete];
    let plan = WritePlan::new(subject, "letters", batch.schema(), subject.any_mode());
    let run = subject.write(&plan, &feed).await?;
    match run.result {
        Ok(_) => return not_applicable("it takes every record that the suite has"),
        Err(error) if error.category != ErrorCategory::Data => {
            return mismatch("a record that it refuses", "a `data` error", said(&error));
        }
        Err(_) => subject.must_show(&plan, &[], "after a record was refused").await?,
    }
    let policies = Policies { on_data_error: DataErrorPolicy::Dlq, ..Policies::default() };
    let plan =
        WritePlan { policies, ..WritePlan::new(subject, "letters", batch.schema(), subject.any_mode()) };
    let run = subject.write_all(&plan, &feed).await?;
    let mut letters = Vec::new();
    for (frame, errors) in &run.letters {
        let rows = rows_of([frame])?;
        letters.extend(rows.iter().cloned());
        for (index, row) in rows.iter().enumerate() {
            let reason = errors.iter().find(|error| error.row as usize == index);
            let told = reason.is_some_and(|reason| !reason.code.is_empty() && !reason.message.is_empty());
            ensure(told, || format!("no reason is given why {} is refused", crate::rows::show(row)))?;
        }
    }
    ensure(!letters.is_empty(), || {
        "it refuses a record with `fail`, and hands none over with `dlq`".to_owned()
    })?;
    let written: Vec<Row> = all.iter().filter(|row| !letters.contains(row)).cloned().collect();
    ensure(written.len() + letters.len() == all.len(), || {
        format!("of {} records {} are handed over that are none of them", all.len(), letters.len())
    })?;
    ensure(written.len() > 1, || "records that nothing is wrong with are refused, too".to_owned())?;
    subject.must_show(&plan, &written, "with the refused records left out").await
}
