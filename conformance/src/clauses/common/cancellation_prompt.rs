//! `cancellation-prompt`: A run that is asked to end ends soon, at what is a checkpoint, and not with a trap.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "cancellation-prompt",
    role: None,
    severity: Severity::Error,
    explanation: "A run that is asked to end ends soon, at what is a checkpoint, and not with a trap.",
    hint: "Look at `cancelled` between batches and wherever you wait; never loop without it.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let work = async {
        match subject.role() {
            ConnectorRole::Source => {
                for stream in subject.discover().await?.streams.iter().take(1) {
                    subject.read_cancelled(&ReadPlan::full(stream)).await?;
                }
                Ok(())
            }
            // What follows a request to end is the rest of the stream, soon over.
            ConnectorRole::Destination => {
                let plan = WritePlan::new(subject, "cancelled", sample::schema(), subject.any_mode());
                subject
                    .write_cancelled(&plan, &[Feed::Batch(sample::batch(&[1, 2], 0)?), Feed::Complete])
                    .await
            }
            ConnectorRole::Transform => {
                let feed = [Feed::Batch(sample::batch(&[1, 2], 0)?), Feed::Complete];
                subject.transform_cancelled(&sample::schema(), &feed).await
            }
        }
    };
    match tokio::time::timeout(limits::CANCEL_DURATION_MAX, work).await {
        Ok(ended) => ended,
        Err(_) => broken(format!(
            "it goes on for more than {} s after it was asked to end",
            limits::CANCEL_DURATION_MAX.as_secs()
        )),
    }
}
