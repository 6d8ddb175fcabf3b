//! The part of JSON Schema that config schemas are written in: what `#[derive(ConfigSchema)]` makes and a person would.
//! A keyword outside it is an error, because a check that is not made must not look as if it were.

use serde::{Serialize, Serializer};
use serde_json::{Number, Value};

use crate::diagnostic::{Diagnostic, DocumentErrors, SourceFile};
use crate::json;
use crate::limits::MANIFEST_BYTES_MAX;
use crate::node::{Kind, Node};
use crate::reader::{Keys, Reader};
use crate::span::Span;

/// A config schema, understood. Serialises as the JSON Schema it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigSchema {
    json: Value,
    pub(super) root: Shape,
}

/// What one value may be.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Shape {
    /// Empty: any.
    pub types: Vec<Type>,
    /// In alphabetical order.
    pub properties: Vec<(String, Shape)>,
    pub required: Vec<String>,
    pub additional: Additional,
    pub items: Option<Box<Shape>>,
    /// `enum` and `const`.
    pub allowed: Option<Vec<Value>>,
    pub default: Option<Value>,
    pub description: Option<String>,
    /// `writeOnly` or `format: password`, as JSON Schema says it, or `x-rapidbyte-secret`.
    pub secret: bool,
    pub minimum: Option<Number>,
    pub maximum: Option<Number>,
    pub length_min: Option<u64>,
    pub length_max: Option<u64>,
    pub items_min: Option<u64>,
    pub items_max: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    List,
    Map,
}

/// Keys beyond `properties`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Additional {
    #[default]
    Allowed,
    Refused,
    Shaped(Box<Shape>),
}

const TYPES: &[(&str, Type)] = &[
    ("null", Type::Null),
    ("boolean", Type::Boolean),
    ("integer", Type::Integer),
    ("number", Type::Number),
    ("string", Type::Text),
    ("array", Type::List),
    ("object", Type::Map),
];

const KEYWORDS: Keys = Keys::of(&[
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "default",
    "description",
    "title",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "format",
    "examples",
    "deprecated",
    "writeOnly",
    "$schema",
    "$id",
    "$comment",
    "x-rapidbyte-secret",
]);

impl Type {
    /// As messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Type::Null => "nothing",
            Type::Boolean => "`true` or `false`",
            Type::Integer => "a whole number",
            Type::Number => "a number",
            Type::Text => "a text",
            Type::List => "a list",
            Type::Map => "a mapping",
        }
    }
}

impl ConfigSchema {
    /// Reads a JSON Schema, as found in a component. `name` is what errors call the document.
    pub fn from_json(text: &str, name: &str) -> Result<Self, DocumentErrors> {
        let file = SourceFile::new(name, "");
        let mut reader = Reader::new(&file, None);
        let schema = match json::read(text, MANIFEST_BYTES_MAX) {
            Ok(node) => Self::read(&mut reader, &node),
            Err(error) => {
                reader.error(*error);
                None
            }
        };
        let errors = reader.errors;
        match schema {
            Some(schema) if errors.is_empty() => Ok(schema),
            _ => Err(DocumentErrors::new(file.into(), errors)),
        }
    }

    /// The schema of a connector that takes no config.
    pub fn empty() -> Self {
        let json = serde_json::json!({ "type": "object", "properties": {}, "additionalProperties": false });
        let root = Shape { types: vec![Type::Map], additional: Additional::Refused, ..Shape::default() };
        ConfigSchema { json, root }
    }

    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let root = Shape::read(reader, node, "the config schema")?;
        if !root.types.is_empty() && root.types != [Type::Map] {
            reader.error(Diagnostic::error(
                "invalid_schema",
                node.span,
                "the config schema must describe an object: a config is a mapping",
            ));
        }
        Some(ConfigSchema { json: node.to_json(), root })
    }

    pub fn as_json(&self) -> &Value {
        &self.json
    }

    /// Names of the top-level fields, in alphabetical order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.root.properties.iter().map(|(name, _)| name.as_str())
    }

    /// The default of a top-level field.
    pub fn default_of(&self, field: &str) -> Option<&Value> {
        self.root.property(field)?.default.as_ref()
    }

    /// The description of a top-level field.
    pub fn description_of(&self, field: &str) -> Option<&str> {
        self.root.property(field)?.description.as_deref()
    }
}

impl Serialize for ConfigSchema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl Shape {
    pub fn property(&self, name: &str) -> Option<&Shape> {
        let index = self.properties.binary_search_by(|(property, _)| property.as_str().cmp(name)).ok()?;
        Some(&self.properties[index].1)
    }

    fn read(reader: &mut Reader<'_>, node: &Node, place: &str) -> Option<Shape> {
        if let Kind::Map(entries) = &node.kind
            && entries.iter().any(|entry| entry.key.value.starts_with("x-"))
        {
            // Other people's extensions are theirs; ours is among the keywords.
            let known = |entry: &&crate::node::Entry| {
                !entry.key.value.starts_with("x-") || entry.key.value == "x-rapidbyte-secret"
            };
            let entries = entries.iter().filter(known).cloned().collect();
            return Self::read_keywords(reader, &Node::new(Kind::Map(entries), node.span), place);
        }
        Self::read_keywords(reader, node, place)
    }

    fn read_keywords(reader: &mut Reader<'_>, node: &Node, place: &str) -> Option<Shape> {
        let section = reader.section(node, place, node.span, KEYWORDS)?;
        let mut shape = Shape::default();
        if let Some(types) = section.get("type") {
            let list = match &types.kind {
                Kind::List(items) => items.as_slice(),
                _ => std::slice::from_ref(types),
            };
            for item in list {
                shape.types.extend(reader.word(item, "`type`", TYPES).map(|word| word.value));
            }
        }
        if let Some(properties) = section.get("properties") {
            match &properties.kind {
                Kind::Map(entries) => {
                    for entry in entries {
                        let name = entry.key.value.clone();
                        let place = format!("the schema of `{}`", crate::node::shorten(&name));
                        if let Some(property) = Shape::read(reader, &entry.value, &place) {
                            shape.properties.push((name, property));
                        }
                    }
                    // JSON has no order of its own.
                    shape.properties.sort_by(|a, b| a.0.cmp(&b.0));
                }
                _ => wrong(reader, properties, "`properties` must be a mapping"),
            }
        }
        if let Some(required) = section.get("required") {
            let names = reader.names(required, "`required`", usize::MAX).unwrap_or_default();
            shape.required = names.into_iter().map(|name| name.value).collect();
        }
        match section.get("additionalProperties") {
            None => {}
            Some(node) if matches!(node.kind, Kind::Map(_)) => {
                let additional = Shape::read(reader, node, "`additionalProperties`")?;
                shape.additional = Additional::Shaped(Box::new(additional));
            }
            Some(node) => {
                let refused = reader.boolean(node, "`additionalProperties`") == Some(false);
                shape.additional = if refused { Additional::Refused } else { Additional::Allowed };
            }
        }
        if let Some(items) = section.get("items") {
            shape.items = Shape::read(reader, items, "`items`").map(Box::new);
        }
        match (section.get("enum"), section.get("const")) {
            (Some(node), _) => match &node.kind {
                Kind::List(items) => shape.allowed = Some(items.iter().map(Node::to_json).collect()),
                _ => wrong(reader, node, "`enum` must be a list"),
            },
            (None, Some(node)) => shape.allowed = Some(vec![node.to_json()]),
            (None, None) => {}
        }
        shape.default = section.get("default").map(Node::to_json);
        if let Some(node) = section.get("description") {
            shape.description = reader.text(node, "`description`").map(|text| text.value);
        }
        for key in ["x-rapidbyte-secret", "writeOnly"] {
            if let Some(node) = section.get(key) {
                // What is meant to be said about secrets is not to be lost for being said wrongly.
                shape.secret |= reader.boolean(node, &format!("`{key}`")).unwrap_or(true);
            }
        }
        if let Some(node) = section.get("format") {
            shape.secret |= reader.text(node, "`format`").is_some_and(|format| format.value == "password");
        }
        let number = |reader: &mut Reader<'_>, key: &str| {
            let node = section.get(key)?;
            match node.to_json() {
                Value::Number(number) => Some(number),
                _ => {
                    wrong(reader, node, &format!("`{key}` must be a number"));
                    None
                }
            }
        };
        shape.minimum = number(reader, "minimum");
        shape.maximum = number(reader, "maximum");
        let count = |reader: &mut Reader<'_>, key: &str| {
            let node = section.get(key)?;
            reader.integer(node, &format!("`{key}`"), 0, u64::MAX).map(|count| count.value)
        };
        shape.length_min = count(reader, "minLength");
        shape.length_max = count(reader, "maxLength");
        shape.items_min = count(reader, "minItems");
        shape.items_max = count(reader, "maxItems");
        Some(shape)
    }
}

fn wrong(reader: &mut Reader<'_>, node: &Node, message: &str) {
    let span: Span = node.span;
    reader.error(Diagnostic::error("invalid_schema", span, message));
}
