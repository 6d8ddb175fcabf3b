//! `identity-agrees`: `open` says the name, version, role and contract version that the manifest says.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "identity-agrees",
    role: None,
    severity: Severity::Error,
    explanation: "`open` says the name, version, role and contract version that the manifest says.",
    hint: "Let the name in `open-info` be `name@version` of the manifest; in Rust `connector_id!()` \
                  with the same name and version in `Cargo.toml`.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let info = subject.info().await?;
    let id = subject.manifest.id();
    ensure(info.connector_id == id, || {
        format!("the manifest says `{id}`, `open` says `{}`", info.connector_id)
    })
}
