//! `secrets-marked`: Keys of the config that by their names hold secrets are marked so in the config schema: only marked ones are masked.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "secrets-marked",
    role: None,
    severity: Severity::Critical,
    explanation: "Keys of the config that by their names hold secrets are marked so in the config schema: \
                  only marked ones are masked.",
    hint: "Mark the field: `#[config(secret)]` in Rust, `writeOnly: true` in a written schema.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let schema = subject.schema();
    let Some(properties) = schema["properties"].as_object() else {
        return not_applicable("the config schema has no keys");
    };
    for (key, shape) in properties {
        let marked = shape["writeOnly"] == true
            || shape["x-rapidbyte-secret"] == true
            || shape["format"] == "password";
        ensure(marked || !sounds_secret(key) || !may_be_text(shape), || {
            format!("`{key}` sounds like a secret and is not marked as one")
        })?;
    }
    Ok(())
}

fn sounds_secret(key: &str) -> bool {
    const SUFFIXES: &[&str] =
        &["password", "passphrase", "secret", "token", "api_key", "apikey", "private_key", "secret_key"];
    let key = key.to_ascii_lowercase().replace('-', "_");
    SUFFIXES.iter().any(|suffix| key == *suffix || key.ends_with(&format!("_{suffix}")))
}

fn may_be_text(shape: &serde_json::Value) -> bool {
    match &shape["type"] {
        serde_json::Value::String(kind) => kind == "string",
        serde_json::Value::Array(kinds) => kinds.iter().any(|kind| kind == "string"),
        _ => true,
    }
}
