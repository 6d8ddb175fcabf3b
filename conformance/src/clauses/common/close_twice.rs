//! `close-twice`: Closing a session that is closed already is no error.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "close-twice",
    role: None,
    severity: Severity::Error,
    explanation: "Closing a session that is closed already is no error.",
    hint: "Let `close` of an unknown session answer `ok`.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let mut running = subject.start_idle().await?;
    let (session, _) = running.instance.open_session(&subject.config()).await?;
    running.instance.close_session(session).await?;
    match running.instance.close_session(session).await {
        Ok(()) => Ok(()),
        Err(error) => broken(format!("the second `close` fails: {}: {}", error.kind(), error.message)),
    }
}
