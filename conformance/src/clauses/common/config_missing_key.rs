//! `config-missing-key`: Each required key of the config is missed by a `config` error that names it.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "config-missing-key",
    role: None,
    severity: Severity::Error,
    explanation: "Each required key of the config is missed by a `config` error that names it.",
    hint: "Read the config strictly before anything else in `open`; in Rust the SDK does so for \
                  fields without a default.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let schema = subject.schema();
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
    if required.is_empty() {
        return not_applicable("the config schema requires no key");
    }
    for key in required {
        let mut config = subject.equipment.config.clone();
        if let Some(fields) = config.as_object_mut() {
            fields.remove(key);
        }
        refused(subject.try_open(&config.to_string()).await, key, &format!("a config without `{key}`"))?;
    }
    Ok(())
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
