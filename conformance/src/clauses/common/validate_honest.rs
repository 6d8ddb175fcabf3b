//! `validate-honest`: `validate` does not fail where a run works, and does not succeed where the system cannot be reached.

use rapidbyte_host::core::grants::Endpoint;

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "validate-honest",
    role: None,
    severity: Severity::Error,
    explanation: "`validate` does not fail where a run works, and does not succeed where the system cannot \
                  be reached.",
    hint: "Let `validate` do what a run would do first: connect, log in, open the folder.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let mut running = subject.start_idle().await?;
    let (session, _) = running.instance.open_session(&subject.config()).await?;
    let report = running.instance.validate_session(session).await;
    subject.hear(&report);
    let report = report?;
    subject.hear_text("a validation report", &report.message);
    subject.exercise().await?;
    ensure(report.status != ValidationStatus::Failed, || {
        format!("`validate` says `{}` where a run works", report.message)
    })?;
    unreachable_is_noticed(subject).await
}

/// With the port of a server that is not there, `open` or `validate` has to say so.
async fn unreachable_is_noticed(subject: &Subject<'_>) -> Check {
    let (Some(host), Some(_)) =
        (subject.equipment.config["host"].as_str(), subject.equipment.config["port"].as_u64())
    else {
        return Ok(());
    };
    // A recording has no port that is free each time.
    if subject.uses_cassettes() {
        return Ok(());
    }
    // Taken and let go again: nobody listens on it.
    let free =
        tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.and_then(|listener| listener.local_addr());
    let Ok(free) = free else { return not_applicable("this machine has no free port") };
    let mut config = subject.equipment.config.clone();
    config["port"] = free.port().into();
    let mut grants = subject.equipment.grants.clone();
    grants.endpoints.push(Endpoint { host: host.to_owned(), port: free.port(), from_config: true });
    let mut running = subject.start_elsewhere(grants).await?;
    let opened = running.instance.open_session(&config.to_string()).await;
    subject.hear(&opened);
    let Ok((session, _)) = opened else { return Ok(()) };
    let report = running.instance.validate_session(session).await;
    subject.hear(&report);
    match report {
        Ok(report) if report.status == ValidationStatus::Success => {
            broken(format!("`validate` says `{}` with nobody listening", report.message))
        }
        Ok(_) => Ok(()),
        Err(error) => ensure(error.code != "guest_trapped", || error.message.clone()),
    }
}
