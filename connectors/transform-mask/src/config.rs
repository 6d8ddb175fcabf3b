//! The rules as users write them, checked as far as they can be without a stream.

use rapidbyte_sdk::prelude::*;
use serde::Deserialize;

/// Below this a key is guessed faster than typed.
const KEY_BYTES_MIN: usize = 8;

/// Which columns to mask and how.
#[derive(Deserialize, ConfigSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The secret key of `hash`: at least 8 bytes, better 32 random ones. The same key gives the same hash for the same value,
    /// so that columns can still be joined; without it nobody can try out values.
    #[config(secret)]
    pub key: Option<String>,
    /// What to do, in order: the first rule that names a column or whose pattern fits decides.
    pub rules: Vec<Rule>,
}

/// What to do with some columns.
#[derive(Debug, Deserialize, ConfigSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The columns by name.
    #[serde(default)]
    pub columns: Vec<String>,
    /// The columns by a pattern with `*` and `?`, whatever their case: `*email*`.
    pub pattern: Option<String>,
    /// What to do with them: `hash` (keyed, 64 hex digits), `redact` (a fixed text), `truncate` (the first characters),
    /// `null`, or `drop` (the column goes).
    pub action: Action,
    /// For `truncate`: how many characters to keep.
    pub length: Option<u32>,
    /// For `redact`: the text instead of the value, `***` unless set.
    pub replacement: Option<String>,
    /// Streams without these columns are left as they are. Otherwise a name that a stream does not have is an error: it
    /// may be a typing mistake, and the data would flow unmasked.
    #[config(default = false)]
    #[serde(default)]
    pub if_present: bool,
}

/// What is done with a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ConfigSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Hash,
    Redact,
    Truncate,
    Null,
    Drop,
}

impl Config {
    /// Refuses what no stream can make right.
    pub fn check(&self) -> Result<(), ConnectorError> {
        if self.rules.is_empty() {
            return Err(ConnectorError::config("rules", "there must be at least one"));
        }
        let hashes = self.rules.iter().any(|rule| rule.action == Action::Hash);
        match &self.key {
            None if hashes => return Err(ConnectorError::config("key", "is needed by `hash`")),
            Some(key) if key.len() < KEY_BYTES_MIN => {
                return Err(ConnectorError::config(
                    "key",
                    format!("must have at least {KEY_BYTES_MIN} bytes"),
                ));
            }
            _ => {}
        }
        let mut named: Vec<&str> = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let field = |name: &str| format!("rules[{index}].{name}");
            if rule.columns.is_empty() == rule.pattern.is_none() {
                return Err(ConnectorError::config(
                    field("columns"),
                    "a rule has either `columns` or a `pattern`",
                ));
            }
            if rule.pattern.as_deref() == Some("") {
                return Err(ConnectorError::config(field("pattern"), "must not be empty"));
            }
            for column in &rule.columns {
                if named.contains(&column.as_str()) {
                    return Err(ConnectorError::config(
                        field("columns"),
                        format!("`{column}` is named twice"),
                    ));
                }
                named.push(column);
            }
            match (rule.action, rule.length) {
                (Action::Truncate, None) => {
                    return Err(ConnectorError::config(field("length"), "`truncate` needs it"));
                }
                (Action::Truncate, Some(_)) | (_, None) => {}
                (_, Some(_)) => {
                    return Err(ConnectorError::config(field("length"), "only `truncate` has it"));
                }
            }
            if rule.replacement.is_some() && rule.action != Action::Redact {
                return Err(ConnectorError::config(field("replacement"), "only `redact` has it"));
            }
        }
        Ok(())
    }
}
