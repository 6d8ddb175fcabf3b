//! `secrets-unspoken`: No secret of the config stands in a log line, a metric, an error or a report, whatever happens.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "secrets-unspoken",
    role: None,
    severity: Severity::Critical,
    explanation: "No secret of the config stands in a log line, a metric, an error or a report, whatever \
                  happens.",
    hint: "Never format a whole config or a connection string; name the server and the user \
                  instead.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    if !subject.equipment.secrets.iter().any(|secret| secret.len() >= 4) {
        return not_applicable("the fixture's config has no secret of four characters or more");
    }
    // Each key wrong in turn, with the secrets in place: errors are where secrets are spoken.
    let secret = |key: &str| {
        subject.equipment.secret_pointers.iter().any(|pointer| pointer.trim_start_matches('/') == key)
    };
    for key in subject.equipment.config.as_object().into_iter().flatten().map(|(key, _)| key) {
        let mut config = subject.equipment.config.clone();
        config[key.as_str()] = match secret(key) {
            // A wrong password that begins like the right one.
            true => format!("{}x", config[key.as_str()].as_str().unwrap_or_default()).into(),
            false => serde_json::json!({ "unexpected": [] }),
        };
        if let Ok(mut running) = subject.start_idle().await
            && let Ok((session, _)) =
                running.instance.open_session(&config.to_string()).await.inspect_err(|error| {
                    subject.hear(&Err::<(), _>(error.clone()));
                })
        {
            let report = running.instance.validate_session(session).await;
            subject.hear(&report);
            if let Ok(report) = report {
                subject.hear_text("a validation report", &report.message);
            }
        }
    }
    // How the work itself ends is other clauses' business; here only what is said counts.
    let _ = subject.exercise().await;
    match subject.spoken_secret() {
        Some(place) => broken(format!("a secret of the config stands in {place}")),
        None => Ok(()),
    }
}
