//! Configuration schemas: a const tree that `#[derive(ConfigSchema)]` builds from a struct, and its rendering as JSON Schema
//! at compile time. It knows nothing of values; [`crate::config`] checks those.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

/// What a connector's configuration looks like. Derive it:
///
/// ```
/// use rapidbyte_sdk::prelude::*;
/// use std::collections::HashMap;
///
/// /// How to reach the server.
/// #[derive(serde::Deserialize, ConfigSchema)]
/// pub struct Config {
///     /// Server name or address.
///     host: String,
///     /// Server port.
///     #[config(default = 5432)]
///     port: u16,
///     #[config(secret)]
///     password: Option<String>,
///     #[serde(default)]
///     mode: Mode,
///     #[serde(default)]
///     options: HashMap<String, String>,
/// }
///
/// #[derive(Default, serde::Deserialize, ConfigSchema)]
/// #[serde(rename_all = "snake_case")]
/// pub enum Mode {
///     #[default]
///     Binary,
///     PlainText,
/// }
///
/// let schema: serde_json::Value = serde_json::from_str(Config::SCHEMA).unwrap();
/// assert_eq!(schema["required"], serde_json::json!(["host"]));
/// assert_eq!(schema["properties"]["port"]["default"], 5432);
/// assert_eq!(schema["properties"]["mode"]["enum"], serde_json::json!(["binary", "plain_text"]));
/// ```
///
/// - Doc comments become descriptions.
/// - A field is required unless it is an `Option`, has a `#[serde(default…)]`, or a `#[config(default = …)]`.
/// - `#[config(default = …)]` takes a literal. The SDK puts it into the configuration where the key is missing, so no serde
///   default is needed besides it.
/// - `#[config(secret)]` marks what must never be shown: `"writeOnly": true, "format": "password"`.
/// - `#[config(skip)]` or `#[serde(skip)]` leave a field out; serde's `rename`, `rename_all`, `alias` are followed.
/// - Types: `bool`, integers, floats, `String`, `char`, `PathBuf`, `Option`, `Vec`, sets, maps with `String` keys,
///   `serde_json::Value`, structs with named fields, enums of unit variants. For a type of your own that reads as one of
///   these, implement [`SchemaType`].
/// - Keys that the schema does not know are refused, whether or not the struct says `deny_unknown_fields`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no configuration schema",
    label = "not usable as a connector's `type Config`",
    note = "add `#[derive(serde::Deserialize, rapidbyte_sdk::ConfigSchema)]` to `{Self}`; for a connector without configuration use `rapidbyte_sdk::NoConfig`"
)]
pub trait ConfigSchema: SchemaType {
    /// The schema as JSON Schema.
    const SCHEMA: &'static str;
}

/// A type that can be part of a configuration.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a connector's configuration",
    note = "derive `ConfigSchema` for it, implement `rapidbyte_sdk::schema::SchemaType` by hand, or leave the field out with `#[config(skip)]`"
)]
pub trait SchemaType {
    const NODE: Node;
}

/// One type in a schema.
#[derive(Debug, Clone, Copy)]
pub enum Node {
    /// Anything.
    Any,
    Boolean,
    Integer {
        min: i128,
        max: i128,
    },
    Number,
    String,
    Array(&'static Node),
    /// An object with any keys.
    Map(&'static Node),
    /// One of these texts.
    Enum(&'static [&'static str]),
    Object(&'static Object),
    /// May be left out or null.
    Optional(&'static Node),
}

/// A struct.
#[derive(Debug, Clone, Copy)]
pub struct Object {
    pub description: &'static str,
    pub fields: &'static [Field],
}

/// A field of a struct.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// As serde reads it.
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub description: &'static str,
    pub node: Node,
    /// Has a serde default.
    pub defaulted: bool,
    /// What the SDK fills in.
    pub default: Option<DefaultValue>,
    pub secret: bool,
}

impl Field {
    /// Whether a configuration without this key is refused.
    pub const fn required(&self) -> bool {
        !self.defaulted && self.default.is_none() && !matches!(self.node, Node::Optional(_))
    }
}

/// A default that a schema can show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DefaultValue {
    Bool(bool),
    Int(i128),
    /// A float as JSON writes it.
    Float(&'static str),
    Text(&'static str),
}

impl DefaultValue {
    /// The value itself, if it is one of the type; a compile error otherwise.
    #[doc(hidden)]
    pub const fn checked(self, node: &Node) -> Self {
        let fits = match (&self, node) {
            (_, Node::Optional(inner)) => return self.checked(inner),
            (_, Node::Any) => true,
            (DefaultValue::Bool(_), Node::Boolean) => true,
            (DefaultValue::Int(value), Node::Integer { min, max }) => *min <= *value && *value <= *max,
            (DefaultValue::Int(_) | DefaultValue::Float(_), Node::Number) => true,
            (DefaultValue::Text(_), Node::String) => true,
            (DefaultValue::Text(text), Node::Enum(words)) => contains(words, text),
            _ => false,
        };
        assert!(fits, "the `#[config(default = …)]` is not a value of its field's type");
        self
    }
}

const fn contains(words: &[&str], text: &str) -> bool {
    let mut index = 0;
    while index < words.len() {
        if same(words[index].as_bytes(), text.as_bytes()) {
            return true;
        }
        index += 1;
    }
    false
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut index = 0;
    while index < one.len() {
        if one[index] != other[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// The configuration of a connector that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
pub struct NoConfig {}

impl SchemaType for NoConfig {
    const NODE: Node = Node::Object(&Object { description: "", fields: &[] });
}

impl ConfigSchema for NoConfig {
    const SCHEMA: &'static str = {
        const BYTES: [u8; rendered_len("NoConfig", &<NoConfig as SchemaType>::NODE)] =
            render("NoConfig", &<NoConfig as SchemaType>::NODE);
        text(&BYTES)
    };
}

macro_rules! nodes {
    ($($type:ty => $node:expr),+ $(,)?) => { $(impl SchemaType for $type { const NODE: Node = $node; })+ };
}

macro_rules! integers {
    ($($type:ty),+) => {
        nodes!($($type => Node::Integer { min: <$type>::MIN as i128, max: <$type>::MAX as i128 }),+);
    };
}

macro_rules! non_zero {
    ($($type:ty => $int:ty),+) => { nodes!($($type => Node::Integer { min: 1, max: <$int>::MAX as i128 }),+); };
}

integers!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);
non_zero!(NonZeroU8 => u8, NonZeroU16 => u16, NonZeroU32 => u32, NonZeroU64 => u64, NonZeroUsize => usize);
nodes! {
    bool => Node::Boolean,
    f32 => Node::Number,
    f64 => Node::Number,
    String => Node::String,
    char => Node::String,
    PathBuf => Node::String,
    serde_json::Value => Node::Any,
}

impl<T: SchemaType> SchemaType for Option<T> {
    const NODE: Node = Node::Optional(&T::NODE);
}

impl<T: SchemaType> SchemaType for Box<T> {
    const NODE: Node = T::NODE;
}

impl<T: SchemaType> SchemaType for Vec<T> {
    const NODE: Node = Node::Array(&T::NODE);
}

impl<T: SchemaType> SchemaType for BTreeSet<T> {
    const NODE: Node = Node::Array(&T::NODE);
}

impl<T: SchemaType, S> SchemaType for HashSet<T, S> {
    const NODE: Node = Node::Array(&T::NODE);
}

impl<T: SchemaType> SchemaType for BTreeMap<String, T> {
    const NODE: Node = Node::Map(&T::NODE);
}

impl<T: SchemaType, S> SchemaType for HashMap<String, T, S> {
    const NODE: Node = Node::Map(&T::NODE);
}

// ---- Rendering, at compile time -------------------------------------------------------------------

/// Writes into `out`, or only counts where `out` is empty.
struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    const fn byte(&mut self, byte: u8) {
        if !self.out.is_empty() {
            self.out[self.len] = byte;
        }
        self.len += 1;
    }

    const fn raw(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut index = 0;
        while index < bytes.len() {
            self.byte(bytes[index]);
            index += 1;
        }
    }

    /// A JSON string.
    const fn string(&mut self, text: &str) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.byte(b'"');
        let bytes = text.as_bytes();
        let mut index = 0;
        while index < bytes.len() {
            let byte = bytes[index];
            match byte {
                b'"' | b'\\' => {
                    self.byte(b'\\');
                    self.byte(byte);
                }
                b'\n' => self.raw("\\n"),
                0..0x20 => {
                    self.raw("\\u00");
                    self.byte(HEX[(byte >> 4) as usize]);
                    self.byte(HEX[(byte & 15) as usize]);
                }
                _ => self.byte(byte),
            }
            index += 1;
        }
        self.byte(b'"');
    }

    const fn integer(&mut self, value: i128) {
        let mut digits = [0_u8; 40];
        let mut count = 0;
        let mut rest = value.unsigned_abs();
        loop {
            digits[count] = b'0' + (rest % 10) as u8;
            count += 1;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            self.byte(b'-');
        }
        while count > 0 {
            count -= 1;
            self.byte(digits[count]);
        }
    }

    /// The members of a type's schema, without braces.
    const fn members(&mut self, node: &Node) {
        match node {
            Node::Any => {}
            Node::Boolean => self.raw(r#""type":"boolean""#),
            Node::Integer { min, max } => {
                self.raw(r#""type":"integer","minimum":"#);
                self.integer(*min);
                self.raw(r#","maximum":"#);
                self.integer(*max);
            }
            Node::Number => self.raw(r#""type":"number""#),
            Node::String => self.raw(r#""type":"string""#),
            Node::Array(items) => {
                self.raw(r#""type":"array","items":{"#);
                self.members(items);
                self.byte(b'}');
            }
            Node::Map(values) => {
                self.raw(r#""type":"object","additionalProperties":{"#);
                self.members(values);
                self.byte(b'}');
            }
            Node::Enum(words) => {
                self.raw(r#""type":"string","enum":["#);
                let mut index = 0;
                while index < words.len() {
                    if index > 0 {
                        self.byte(b',');
                    }
                    self.string(words[index]);
                    index += 1;
                }
                self.byte(b']');
            }
            Node::Object(object) => self.object(object),
            Node::Optional(inner) => self.members(inner),
        }
    }

    const fn object(&mut self, object: &Object) {
        self.raw(r#""type":"object","additionalProperties":false,"properties":{"#);
        let mut index = 0;
        while index < object.fields.len() {
            if index > 0 {
                self.byte(b',');
            }
            self.field(&object.fields[index]);
            index += 1;
        }
        self.raw(r#"},"required":["#);
        let mut index = 0;
        let mut first = true;
        while index < object.fields.len() {
            if object.fields[index].required() {
                if !first {
                    self.byte(b',');
                }
                first = false;
                self.string(object.fields[index].name);
            }
            index += 1;
        }
        self.byte(b']');
    }

    const fn field(&mut self, field: &Field) {
        self.string(field.name);
        self.raw(":{");
        let start = self.len;
        self.members(&field.node);
        let description = match &field.node {
            Node::Object(object) if field.description.is_empty() => object.description,
            _ => field.description,
        };
        if !description.is_empty() {
            self.separate(start);
            self.raw(r#""description":"#);
            self.string(description);
        }
        if let Some(default) = &field.default {
            self.separate(start);
            self.raw(r#""default":"#);
            match default {
                DefaultValue::Bool(true) => self.raw("true"),
                DefaultValue::Bool(false) => self.raw("false"),
                DefaultValue::Int(value) => self.integer(*value),
                DefaultValue::Float(text) => self.raw(text),
                DefaultValue::Text(text) => self.string(text),
            }
        }
        if field.secret {
            self.separate(start);
            self.raw(r#""writeOnly":true,"format":"password""#);
        }
        self.byte(b'}');
    }

    const fn separate(&mut self, start: usize) {
        if self.len > start {
            self.byte(b',');
        }
    }

    const fn document(&mut self, title: &str, node: &Node) {
        self.raw(r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","title":"#);
        self.string(title);
        if let Node::Object(object) = node
            && !object.description.is_empty()
        {
            self.raw(r#","description":"#);
            self.string(object.description);
        }
        self.byte(b',');
        self.members(node);
        self.byte(b'}');
    }
}

/// Bytes of [`render`]'s answer.
#[doc(hidden)]
pub const fn rendered_len(title: &str, node: &Node) -> usize {
    let mut writer = Writer { out: &mut [], len: 0 };
    writer.document(title, node);
    writer.len
}

/// The JSON Schema of a type.
#[doc(hidden)]
pub const fn render<const LEN: usize>(title: &str, node: &Node) -> [u8; LEN] {
    let mut out = [0; LEN];
    let mut writer = Writer { out: &mut out, len: 0 };
    writer.document(title, node);
    out
}

/// The rendered bytes as text.
#[doc(hidden)]
pub const fn text(bytes: &'static [u8]) -> &'static str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("a schema is made of texts"),
    }
}

/// A copy of a schema's bytes, to be the content of a custom section.
#[doc(hidden)]
pub const fn section<const LEN: usize>(schema: &str) -> [u8; LEN] {
    let bytes = schema.as_bytes();
    let mut out = [0; LEN];
    let mut index = 0;
    while index < LEN {
        out[index] = bytes[index];
        index += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::ConfigSchema;

    /// First line
    /// goes on.
    ///
    /// Second "paragraph" with \ and é.
    #[derive(serde::Deserialize, ConfigSchema)]
    #[serde(rename_all = "camelCase")]
    #[allow(dead_code)]
    struct Sample {
        /// Where to.
        host_name: String,
        #[config(default = 5432)]
        port: u16,
        #[config(default = -1)]
        offset: i64,
        #[config(default = 2.5)]
        factor: f64,
        #[config(default = "full", secret)]
        mode: Mode,
        #[config(secret)]
        password: Option<String>,
        #[serde(default)]
        tags: Vec<String>,
        #[serde(alias = "opts")]
        options: std::collections::HashMap<String, Nested>,
        nested: Nested,
        anything: Option<Value>,
    }

    /// A part.
    #[derive(serde::Deserialize, ConfigSchema)]
    #[allow(dead_code)]
    struct Nested {
        on: bool,
    }

    #[derive(serde::Deserialize, ConfigSchema)]
    #[serde(rename_all = "kebab-case")]
    #[allow(dead_code)]
    enum Mode {
        Full,
        HalfWay,
    }

    #[test]
    fn renders_json_schema() {
        let schema: Value = serde_json::from_str(Sample::SCHEMA).unwrap();
        let nested = json!({
            "type": "object", "additionalProperties": false, "properties": { "on": { "type": "boolean" } },
            "required": ["on"],
        });
        let mut described = nested.clone();
        described["description"] = json!("A part.");
        assert_eq!(
            schema,
            json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "title": "Sample",
                "description": "First line goes on.\n\nSecond \"paragraph\" with \\ and é.",
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "hostName": { "type": "string", "description": "Where to." },
                    "port": { "type": "integer", "minimum": 0, "maximum": 65535, "default": 5432 },
                    "offset": { "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX, "default": -1 },
                    "factor": { "type": "number", "default": 2.5 },
                    "mode": {
                        "type": "string", "enum": ["full", "half-way"], "default": "full",
                        "writeOnly": true, "format": "password",
                    },
                    "password": { "type": "string", "writeOnly": true, "format": "password" },
                    "tags": { "type": "array", "items": { "type": "string" } },
                    "options": { "type": "object", "additionalProperties": nested },
                    "nested": described,
                    "anything": {},
                },
                "required": ["hostName", "options", "nested"],
            })
        );
        assert!(serde_json::from_str::<Value>(NoConfig::SCHEMA).is_ok());
    }

    #[test]
    fn escapes_like_json() {
        for text in ["", "plain", "\"\\\n\t\u{1}", "é✓😀"] {
            let mut out = [0; 64];
            let mut writer = Writer { out: &mut out, len: 0 };
            writer.string(text);
            let len = writer.len;
            assert_eq!(serde_json::from_slice::<String>(&out[..len]).unwrap(), text);
        }
        for number in [0, -1, i128::from(u64::MAX), i128::from(i64::MIN)] {
            let mut out = [0; 64];
            let mut writer = Writer { out: &mut out, len: 0 };
            writer.integer(number);
            let len = writer.len;
            assert_eq!(std::str::from_utf8(&out[..len]).unwrap(), number.to_string());
        }
    }
}
