//! A configuration checked against its schema: unknown and missing keys are refused by name, defaults filled in, and what
//! serde refuses is reported with the field's path. It never repeats a value, which may be a secret.

use serde_json::{Map, Value};

use crate::ConfigSchema;
use crate::error::ConnectorError;
use crate::schema::{DefaultValue, Field, Node, Object};

/// Reads a configuration, as the host does before `open`. For tests that want a `Config` without a session:
///
/// ```
/// # use rapidbyte_sdk::prelude::*;
/// #[derive(Debug, serde::Deserialize, ConfigSchema)]
/// struct Config {
///     host: String,
///     #[config(default = 5432)]
///     port: u16,
/// }
///
/// let config: Config = rapidbyte_sdk::config::parse(r#"{ "host": "db" }"#).unwrap();
/// assert_eq!((config.host.as_str(), config.port), ("db", 5432));
///
/// let error = rapidbyte_sdk::config::parse::<Config>(r#"{ "host": "db", "prot": 1 }"#).unwrap_err();
/// assert_eq!(error.message, "config field `prot`: unknown field, did you mean `port`?");
/// ```
pub fn parse<C: serde::de::DeserializeOwned + ConfigSchema>(json: &str) -> Result<C, ConnectorError> {
    let mut value: Value = serde_json::from_str(json).map_err(|error| {
        let message =
            format!("the configuration is not JSON: line {}, column {}", error.line(), error.column());
        ConnectorError::new(crate::ErrorCategory::Config, "invalid_config", message)
    })?;
    if value.is_null() {
        value = Value::Object(Map::new());
    }
    check(&mut value, &C::NODE, &mut Path::default())?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        ConnectorError::config(path, without_values(&error.into_inner().to_string()))
    })
}

/// serde quotes what it found (`invalid type: string "hunter2", expected u16`); the value goes, the rest stays.
pub(crate) fn without_values(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(start) = rest.find('"') {
        out.push_str(rest[..start].trim_end());
        let mut end = None;
        let mut escaped = false;
        for (index, byte) in rest.bytes().enumerate().skip(start + 1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    end = Some(index + 1);
                    break;
                }
                _ => {}
            }
        }
        rest = end.map_or("", |end| &rest[end..]);
    }
    out.push_str(rest);
    out
}

/// Where in the configuration we are.
#[derive(Default)]
struct Path {
    text: String,
}

impl Path {
    /// Runs `inside` one step deeper.
    fn step<T>(&mut self, step: std::fmt::Arguments<'_>, inside: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.text.len();
        self.text.push_str(&step.to_string());
        let answer = inside(self);
        self.text.truncate(length);
        answer
    }

    fn key<T>(&mut self, key: &str, inside: impl FnOnce(&mut Self) -> T) -> T {
        if self.text.is_empty() {
            self.step(format_args!("{key}"), inside)
        } else {
            self.step(format_args!(".{key}"), inside)
        }
    }

    fn error(&self, message: impl std::fmt::Display) -> ConnectorError {
        if self.text.is_empty() {
            ConnectorError::new(
                crate::ErrorCategory::Config,
                "invalid_config",
                format!("the configuration {message}"),
            )
        } else {
            ConnectorError::config(&self.text, message)
        }
    }
}

fn check(value: &mut Value, node: &Node, path: &mut Path) -> Result<(), ConnectorError> {
    match (node, value) {
        (Node::Any, _) => Ok(()),
        (Node::Optional(_), Value::Null) => Ok(()),
        (Node::Optional(inner), value) => check(value, inner, path),
        (Node::Boolean, Value::Bool(_)) => Ok(()),
        (Node::Boolean, other) => Err(wrong_type(path, "true or false", other)),
        (Node::Integer { min, max }, other) => match integer(other) {
            Some(int) if (*min..=*max).contains(&int) => Ok(()),
            Some(_) => Err(path.error(format!("must be between {min} and {max}"))),
            None => Err(wrong_type(path, "an integer", other)),
        },
        (Node::Number, Value::Number(_)) => Ok(()),
        (Node::Number, other) => Err(wrong_type(path, "a number", other)),
        (Node::String, Value::String(_)) => Ok(()),
        (Node::String, other) => Err(wrong_type(path, "a text", other)),
        (Node::Enum(words), Value::String(text)) if words.contains(&text.as_str()) => Ok(()),
        (Node::Enum(words), Value::String(text)) => {
            Err(path.error(format!("must be one of {}{}", list(words), suggestion(text, words))))
        }
        (Node::Enum(words), other) => Err(wrong_type(path, &format!("one of {}", list(words)), other)),
        (Node::Array(items), Value::Array(values)) => {
            for (index, value) in values.iter_mut().enumerate() {
                path.step(format_args!("[{index}]"), |path| check(value, items, path))?;
            }
            Ok(())
        }
        (Node::Array(_), other) => Err(wrong_type(path, "a list", other)),
        (Node::Map(node), Value::Object(map)) => {
            for (key, value) in map.iter_mut() {
                path.key(key, |path| check(value, node, path))?;
            }
            Ok(())
        }
        (Node::Object(object), Value::Object(map)) => check_object(map, object, path),
        (Node::Map(_) | Node::Object(_), other) => Err(wrong_type(path, "a table of keys and values", other)),
    }
}

fn check_object(
    map: &mut Map<String, Value>,
    object: &Object,
    path: &mut Path,
) -> Result<(), ConnectorError> {
    for (key, value) in map.iter_mut() {
        let known = |field: &&Field| field.name == key || field.aliases.contains(&key.as_str());
        let Some(field) = object.fields.iter().find(known) else {
            let names: Vec<&str> = object.fields.iter().map(|field| field.name).collect();
            let mut hint = suggestion(key, &names);
            if hint.is_empty() && !names.is_empty() {
                hint = format!(", known are {}", list(&names));
            }
            return Err(path.key(key, |path| path.error(format!("unknown field{hint}"))));
        };
        path.key(key, |path| check(value, &field.node, path))?;
    }
    for field in object.fields {
        if map.contains_key(field.name) || field.aliases.iter().any(|alias| map.contains_key(*alias)) {
            continue;
        }
        if let Some(default) = &field.default {
            map.insert(field.name.to_owned(), default_value(default));
        } else if field.required() {
            return Err(path.key(field.name, |path| path.error("is missing")));
        }
    }
    Ok(())
}

fn default_value(default: &DefaultValue) -> Value {
    match default {
        DefaultValue::Bool(value) => Value::Bool(*value),
        DefaultValue::Int(value) => {
            // The derive only accepts literals that fit one of the two.
            i64::try_from(*value).map_or_else(|_| Value::from(*value as u64), Value::from)
        }
        DefaultValue::Float(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        DefaultValue::Text(text) => Value::String((*text).to_owned()),
    }
}

fn integer(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))
}

fn wrong_type(path: &Path, expected: &str, found: &Value) -> ConnectorError {
    let found = match found {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    };
    path.error(format!("must be {expected}, found {found}"))
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// `` , did you mean `port`? `` where something is near, else nothing.
fn suggestion(word: &str, known: &[&str]) -> String {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min()
        .map(|(_, candidate)| format!(", did you mean `{candidate}`?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize, ConfigSchema)]
    struct Sample {
        host: String,
        #[config(default = 5432)]
        port: u16,
        #[config(default = 0.25)]
        ratio: f64,
        #[config(default = "require")]
        tls: Tls,
        password: Option<String>,
        #[serde(default, alias = "opts")]
        options: HashMap<String, u8>,
        #[serde(default)]
        columns: Vec<Column>,
        #[serde(default, deserialize_with = "even")]
        even: u32,
    }

    #[derive(Debug, PartialEq, serde::Deserialize, ConfigSchema)]
    #[serde(rename_all = "snake_case")]
    enum Tls {
        Disable,
        Require,
    }

    #[derive(Debug, PartialEq, serde::Deserialize, ConfigSchema)]
    struct Column {
        name: String,
        #[config(default = true)]
        keep: bool,
    }

    fn even<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        use serde::Deserialize;
        let number = u32::deserialize(deserializer)?;
        if number % 2 == 0 { Ok(number) } else { Err(serde::de::Error::custom("must be even")) }
    }

    #[test]
    fn fills_in_defaults_at_every_level() {
        let config: Sample =
            parse(r#"{ "host": "db", "password": null, "opts": { "a": 1 }, "columns": [{ "name": "x" }] }"#)
                .unwrap();
        assert_eq!((config.port, config.ratio, config.tls), (5432, 0.25, Tls::Require));
        assert_eq!(config.columns, [Column { name: "x".into(), keep: true }]);
        assert_eq!(config.options["a"], 1);
    }

    #[test]
    fn names_what_is_wrong() {
        for (json, message) in [
            ("{}", "config field `host`: is missing"),
            (r#"{"host":1}"#, "config field `host`: must be a text, found a number"),
            (r#"{"host":null}"#, "config field `host`: must be a text, found nothing"),
            (r#"{"host":"h","port":-1}"#, "config field `port`: must be between 0 and 65535"),
            (r#"{"host":"h","port":1.5}"#, "config field `port`: must be an integer, found a number"),
            (r#"{"host":"h","ratio":"x"}"#, "config field `ratio`: must be a number, found a text"),
            (
                r#"{"host":"h","tls":"requier"}"#,
                "config field `tls`: must be one of `disable`, `require`, did you mean `require`?",
            ),
            (r#"{"host":"h","options":{"a":300}}"#, "config field `options.a`: must be between 0 and 255"),
            (r#"{"host":"h","columns":{}}"#, "config field `columns`: must be a list, found a table"),
            (r#"{"host":"h","columns":[{"name":"x"},{}]}"#, "config field `columns[1].name`: is missing"),
            (
                r#"{"host":"h","columns":[{"name":"x","kep":1}]}"#,
                "config field `columns[0].kep`: unknown field, did you mean `keep`?",
            ),
            (
                r#"{"host":"h","zzz":1}"#,
                "config field `zzz`: unknown field, known are `host`, `port`, `ratio`, `tls`, `password`, `options`, `columns`, `even`",
            ),
            (r#"{"host":"h","even":3}"#, "config field `even`: must be even"),
            ("3", "the configuration must be a table of keys and values, found a number"),
        ] {
            let error = parse::<Sample>(json).unwrap_err();
            assert_eq!(error.message, message, "{json}");
            assert_eq!(error.category, crate::ErrorCategory::Config);
        }
    }

    #[test]
    fn serde_messages_lose_their_values() {
        assert_eq!(
            without_values(r#"invalid type: string "hun\"ter2", expected u16"#),
            "invalid type: string, expected u16"
        );
        assert_eq!(without_values("must be even"), "must be even");
        assert_eq!(without_values(r#"unterminated "secret"#), "unterminated");
    }

    #[test]
    fn no_value_is_repeated() {
        for json in [
            r#"{"host":"h","port":"hunter2"}"#,
            r#"{"host":"h","tls":"hunter2"}"#,
            r#"{"host":["hunter2"]}"#,
            r#"{"host":"h","password":["hunter2"]}"#,
            r#"{"hunter2"#,
        ] {
            let error = parse::<Sample>(json).unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
