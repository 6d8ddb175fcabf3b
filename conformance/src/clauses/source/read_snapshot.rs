//! `read-snapshot`: a snapshot is there as long as its session is open, and is said to be gone after it.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "read-snapshot",
    role: Some(ConnectorRole::Source),
    severity: Severity::Critical,
    explanation: "The snapshot that a partition phase names can be read by other instances until its session is closed. To read \
                  it then is a retryable error, `snapshot_gone`: never another moment of the stream instead.",
    hint: "Open `snapshot` of the stream context where a partition is read, and fail if it cannot be opened. A source that cannot \
           hold a moment answers the partition phase without one.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    if !subject.info().await?.capabilities.partitions {
        return not_applicable("`open` does not declare `partitions`");
    }
    let mut named = false;
    for stream in subject.streams().await? {
        let held = subject.hold(&ReadPlan::full(&stream), 2).await?;
        let slice = held.slices(&ReadPlan::full(&stream)).into_iter().next();
        let Some(slice) = slice.filter(|slice| slice.snapshot.is_some()) else {
            held.release().await?;
            continue;
        };
        named = true;
        subject.read(&slice).await?.rows()?;
        held.release().await?;
        let doing = format!("reading the snapshot of `{}` behind its `close`", stream.name);
        let expected = "a retryable error `snapshot_gone`";
        match subject.read(&slice).await?.result {
            Ok(_) => return mismatch(doing, expected, "success"),
            Err(error) if error.code != "snapshot_gone" || !error.retryable => {
                return mismatch(doing, expected, said(&error));
            }
            Err(_) => {}
        }
    }
    if named { Ok(()) } else { not_applicable("no partition phase names a snapshot") }
}
