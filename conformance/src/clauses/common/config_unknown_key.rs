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
    subject.must_refuse(&config, KEY, "an unknown key").await
}
