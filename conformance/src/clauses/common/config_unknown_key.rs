//! `config-unknown-key`: A key that the config schema does not have is a `config` error that names it: a mistyped option must not be ignored.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "config-unknown-key",
    role: None,
    severity: Severity::Error,
    explanation: "A key that the config schema does not have is a `config` error that names it: a mistyped \
                  option must not be ignored.",
    hint: "Refuse unknown keys in `open`; in Rust the SDK does so, with serde add \
                  `deny_unknown_fields`.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    const KEY: &str = "rapidbyte_no_such_key";
    let mut config = subject.equipment.config.clone();
    if let Some(fields) = config.as_object_mut() {
        fields.insert(KEY.to_owned(), 1.into());
    }
    refused(subject.try_open(&config.to_string()).await, KEY, "an unknown key")
}

/// The error is a `config` error that names the key.
fn refused(answer: Result<rapidbyte_host::core::OpenInfo, ConnectorError>, key: &str, what: &str) -> Check {
    let error = match answer {
        Ok(_) => return broken(format!("{what} is accepted")),
        Err(error) => error,
    };
    let category = error.category;
    ensure(category == ErrorCategory::Config, || {
        format!("{what} is refused with `{}`, not with a `config` error: {}", error.kind(), error.message)
    })?;
    let details = error.details.as_deref().unwrap_or_default();
    ensure(error.message.contains(key) || details.contains(key), || {
        format!("{what} is refused without naming `{key}`: {}", error.message)
    })
}
