//! `grants-respected`: The connector does not reach for what its manifest does not ask for: network, state, logs, metrics.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "grants-respected",
    role: None,
    severity: Severity::Critical,
    explanation: "The connector does not reach for what its manifest does not ask for: network, state, \
                  logs, metrics.",
    hint: "Declare it under `capabilities` in the manifest, or do without.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    subject.exercise().await?;
    let capabilities = &subject.manifest.capabilities;
    let functions = subject.manifest.host_functions();
    let asked = [
        ("tcp-connect", capabilities.network.is_some(), "capabilities.network"),
        ("state-get", functions.state_read, "host_functions: state_read"),
        ("state-put", functions.state_write, "host_functions: state_write"),
        ("state-compare-and-swap", functions.state_write, "host_functions: state_write"),
        ("telemetry-log", functions.logging, "host_functions: logging"),
        ("telemetry-metric", functions.metrics, "host_functions: metrics"),
    ];
    for (import, granted, key) in asked {
        ensure(granted || !subject.entered(import), || {
            format!("it calls `{import}`, and the manifest does not have `{key}`")
        })?;
    }
    Ok(())
}
