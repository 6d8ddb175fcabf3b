//! `read-max-records`: `max-records` is the number of records that come, where there are as many.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "read-max-records",
    role: Some(ConnectorRole::Source),
    severity: Severity::Error,
    explanation: "`max-records` is the number of records that come, where there are as many.",
    hint: "Count while emitting and cut the last batch.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    for stream in subject.streams().await? {
        let total = subject.read(&ReadPlan::full(&stream)).await?.rows()?.len() as u64;
        for max in [1, total / 2, total.saturating_add(1)] {
            let plan = ReadPlan { max_records: Some(max), ..ReadPlan::full(&stream) };
            let came = subject.read(&plan).await?.rows()?.len() as u64;
            let expected = max.min(total);
            ensure(came == expected, || {
                format!("`{}` has {total} records; of at most {max}, {came} came", stream.name)
            })?;
        }
    }
    Ok(())
}
