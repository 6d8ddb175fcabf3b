//! `read-partitions`: the partitions of a stream are disjoint and together the stream.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "read-partitions",
    role: Some(ConnectorRole::Source),
    severity: Severity::Critical,
    explanation: "However many ranges a partition phase cuts a stream into, each row comes in exactly one of them, rows without a \
                  value included.",
    hint: "Cut by a column: the lower bound belongs to a range, the upper to the next. Leave the first open below and the last \
           open above, and give `nulls` to one. Declare `partitions` only if `partition.range` of the stream context is \
           honoured.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    if !subject.info().await?.capabilities.partitions {
        return not_applicable("`open` does not declare `partitions`");
    }
    let mut cut = false;
    for stream in subject.streams().await? {
        let whole = subject.read(&ReadPlan::full(&stream)).await?.rows()?;
        for count in [2, 5] {
            let held = subject.hold(&ReadPlan::full(&stream), count).await?;
            if held.plan.ranges.len() < 2 {
                held.release().await?;
                continue;
            }
            cut = true;
            let mut together = Vec::new();
            for plan in held.slices(&ReadPlan::full(&stream)) {
                together.extend(subject.read(&plan).await?.rows()?);
            }
            held.release().await?;
            if let Some(difference) = difference(&whole, &together) {
                let expected = format!("the {} rows of the stream, each once", whole.len());
                return mismatch(format!("`{}` in {count} partitions", stream.name), expected, difference);
            }
        }
    }
    if cut { Ok(()) } else { not_applicable("no stream of the fixture is worth more than one range") }
}
