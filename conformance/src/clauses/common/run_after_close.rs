//! `run-after-close`: `run` on a closed session is a typed error, neither success nor a trap.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "run-after-close",
    role: None,
    severity: Severity::Error,
    explanation: "`run` on a closed session is a typed error, neither success nor a trap.",
    hint: "Forget the session in `close`, and answer unknown ones with an `internal` error.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let mut running = subject.start_idle().await?;
    let (session, _) = running.instance.open_session(&subject.config()).await?;
    running.instance.close_session(session).await?;
    match running.instance.run_session(session, subject.plain_request()?).await {
        Ok(_) => broken("`run` succeeds on a closed session"),
        Err(error) => ensure(error.code != "guest_trapped", || error.message.clone()),
    }
}
