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
        subject.must_refuse(&config, key, &format!("a config without `{key}`")).await?;
    }
    Ok(())
}
