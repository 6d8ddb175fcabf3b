//! `read-partitions`: the partitions of a stream are disjoint and together the stream.

use rapidbyte_host::core::Partition;

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "read-partitions",
    role: Some(ConnectorRole::Source),
    severity: Severity::Critical,
    explanation: "However many partitions a stream is read in, each row comes in exactly one of them.",
    hint: "Cut by what no row can change its side of: a range of the key, a hash of it. Declare `partitions` only if \
           `partition` of the stream context is honoured.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    if !subject.info().await?.capabilities.partitions {
        return not_applicable("`open` does not declare `partitions`");
    }
    for stream in subject.streams().await? {
        let whole = subject.read(&ReadPlan::full(&stream)).await?.rows()?;
        for count in [2, 5] {
            let mut together = Vec::new();
            for index in 0..count {
                let plan = ReadPlan { partition: Partition { index, count, ..Partition::WHOLE }, ..ReadPlan::full(&stream) };
                together.extend(subject.read(&plan).await?.rows()?);
            }
            if let Some(difference) = difference(&whole, &together) {
                let expected = format!("the {} rows of the stream, each once", whole.len());
                return mismatch(format!("`{}` in {count} partitions", stream.name), expected, difference);
            }
        }
    }
    Ok(())
}
