//! `config-wrong-type`: A value of the wrong type is a `config` error that names its key.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "config-wrong-type",
    role: None,
    severity: Severity::Error,
    explanation: "A value of the wrong type is a `config` error that names its key.",
    hint: "Check types in `open` by the same schema that the manifest carries.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let schema = subject.schema();
    let Some(properties) = schema["properties"].as_object().filter(|properties| !properties.is_empty())
    else {
        return not_applicable("the config schema has no keys");
    };
    for (key, shape) in properties {
        let Some(wrong) = wrong_value(shape) else { continue };
        let mut config = subject.equipment.config.clone();
        if let Some(fields) = config.as_object_mut() {
            fields.insert(key.clone(), wrong.clone());
        }
        let what = format!("`{key}: {wrong}`");
        subject.must_refuse(&config, key, &what).await?;
    }
    Ok(())
}

/// A value that no type of the shape allows; none where everything is allowed.
fn wrong_value(shape: &serde_json::Value) -> Option<serde_json::Value> {
    let types: Vec<&str> = match &shape["type"] {
        serde_json::Value::String(one) => vec![one.as_str()],
        serde_json::Value::Array(several) => several.iter().filter_map(serde_json::Value::as_str).collect(),
        _ => return None,
    };
    let candidates = [
        (&["object"][..], serde_json::json!({ "unexpected": [] })),
        (&["string"][..], serde_json::json!("not this type")),
        (&["array"][..], serde_json::json!([[[]]])),
    ];
    candidates
        .into_iter()
        .find(|(kinds, _)| !kinds.iter().any(|kind| types.contains(kind)))
        .map(|(_, value)| value)
}
