//! A connector's config: free-form for us, checked against the schema its manifest carries before anything starts.
//! Knows which of its values are secret; refuses to know what they mean.

mod check;
mod schema;

use serde::{Serialize, Serializer};
use serde_json::Value;

pub use schema::ConfigSchema;

use crate::diagnostic::Diagnostic;
use crate::node::{Node, Scalar};
use crate::span::Span;

/// What stands for a value that must not be shown.
pub(crate) const MASK: &str = "***";

/// The `config` of a connector, with the environment put in. Shows (`Debug`, `Serialize`) nothing of the environment.
#[derive(Debug, Clone)]
pub struct Config {
    node: Node,
    /// The key `config`, or the `use` of a connector that has none: where to point for what is missing.
    at: Span,
}

/// A config that fits its schema.
#[derive(Clone, PartialEq)]
pub struct CheckedConfig {
    /// What the connector is given: as written, typed by the schema.
    pub value: Value,
    /// The same with the schema's defaults where nothing was written: for what the host reads itself (host, port).
    pub with_defaults: Value,
    /// The same as `value` with secrets masked.
    pub masked: Value,
    /// Texts no sink may show: every value of a secret field, and what came from the environment into a field that the
    /// schema does not describe or as a part of a longer text (a URL). A field the schema describes without calling it
    /// secret (`host`, `user`) is not: masking `postgres` everywhere would help nobody.
    pub secrets: Vec<String>,
    /// JSON pointers of the secret values: `/password`.
    pub secret_pointers: Vec<String>,
}

impl Config {
    pub(crate) fn new(node: Node, at: Span) -> Self {
        Config { node, at }
    }

    /// The same config with another tree in its place.
    pub(crate) fn map_nodes(&self, change: &dyn Fn(&Node) -> Node) -> Self {
        Config { node: change(&self.node), at: self.at }
    }

    /// The place to point at when something is missing.
    pub fn span(&self) -> Span {
        self.at
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The value at a key of the config and its place.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.node.get(key)
    }

    /// As JSON, secrets included: for the connector alone.
    pub fn to_json(&self) -> Value {
        self.node.to_json()
    }

    /// Checks it against the schema of the connector's manifest. `place` is how messages call it: `source`.
    pub fn check(&self, schema: &ConfigSchema, place: &str) -> Result<CheckedConfig, Vec<Diagnostic>> {
        check::check(schema, self, place)
    }
}

impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plain = Scalar::value;
        self.node
            .to_json_by(&|scalar| match scalar.is_from_environment() {
                true => MASK.into(),
                false => value_to_json(plain(scalar)),
            })
            .serialize(serializer)
    }
}

impl std::fmt::Debug for CheckedConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckedConfig").field("value", &self.masked).finish_non_exhaustive()
    }
}

pub(crate) fn value_to_json(value: crate::node::Value<'_>) -> Value {
    use crate::node::Value as Typed;
    match value {
        Typed::Null | Typed::Unrepresentable => Value::Null,
        Typed::Bool(value) => value.into(),
        Typed::Int(value) => value.into(),
        Typed::UInt(value) => value.into(),
        Typed::Float(value) => value.into(),
        Typed::Text(value) => value.into(),
    }
}
