//! `two-sessions`: One instance holds two sessions that do not know of each other: closing one leaves the other usable.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "two-sessions",
    role: None,
    severity: Severity::Error,
    explanation: "One instance holds two sessions that do not know of each other: closing one leaves the \
                  other usable.",
    hint: "Keep what belongs to a session under its number, not in a global.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let mut running = subject.start_idle().await?;
    let (first, _) = running.instance.open_session(&subject.config()).await?;
    let (second, _) = running.instance.open_session(&subject.config()).await?;
    ensure(first != second, || format!("two sessions have the number {first}"))?;
    running.instance.close_session(first).await?;
    match running.instance.run_session(second, subject.plain_request()?).await {
        Ok(_) => Ok(()),
        Err(error) => broken(format!(
            "with the first session closed the second fails: {}: {}",
            error.kind(),
            error.message
        )),
    }
}
