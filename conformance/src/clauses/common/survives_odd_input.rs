//! `survives-odd-input`: Config texts that are no JSON object, and phases of another role, are typed errors: nothing traps or panics.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "survives-odd-input",
    role: None,
    severity: Severity::Error,
    explanation: "Config texts that are no JSON object, and phases of another role, are typed errors: \
                  nothing traps or panics.",
    hint: "Look at the backtrace; replace `unwrap` and indexing on what comes from outside by \
                  errors.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let deep = "[".repeat(10_000);
    let texts = ["", "null", "[]", "1", "\"text\"", "{", "{\"a\":}", "\u{0}", deep.as_str()];
    for text in texts {
        let shown: String = text.chars().take(20).collect();
        match subject.try_open(text).await {
            Ok(_) => return broken(format!("the config text `{shown}` is accepted")),
            Err(error) => {
                ensure(!is_fault(&error), || format!("the config text `{shown}`: {}", error.message))?
            }
        }
    }
    let foreign = match subject.role() {
        ConnectorRole::Source => RunPhase::Write,
        ConnectorRole::Destination | ConnectorRole::Transform => RunPhase::Read,
    };
    let mut running = subject.start_idle().await?;
    let (session, _) = running.instance.open_session(&subject.config()).await?;
    let mut request = subject.plain_request()?;
    request.phase = foreign;
    match running.instance.run_session(session, request).await {
        Ok(_) => broken(format!("phase `{foreign}` succeeds in a {}", subject.role())),
        Err(error) => ensure(!is_fault(&error), || format!("phase `{foreign}`: {}", error.message)),
    }
}

/// The guest did not answer but ended.
fn is_fault(error: &ConnectorError) -> bool {
    matches!(error.code.as_str(), "guest_trapped" | "memory_limit" | "idle_timeout" | "instance_poisoned")
}
