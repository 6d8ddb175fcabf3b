//! A config against its schema: unknown and missing keys, types, allowed values, bounds. All mistakes at once, each at
//! its place in the pipeline document; no message shows a value of the environment or of a secret field.

use std::collections::HashSet;

use serde_json::{Map, Number, Value};

use super::schema::{Additional, Shape, Type};
use super::{CheckedConfig, Config, ConfigSchema, MASK, value_to_json};
use crate::diagnostic::Diagnostic;
use crate::limits::ERRORS_MAX;
use crate::node::{Entry, Kind, Node, Scalar, Value as Typed, shorten};
use crate::reader::{all_of, one_of, suggest};
use crate::span::Span;

pub(super) fn check(
    schema: &ConfigSchema,
    config: &Config,
    place: &str,
) -> Result<CheckedConfig, Vec<Diagnostic>> {
    let mut checker = Checker::default();
    let root = Place { at: config.at, name: format!("the config of `{place}`"), pointer: String::new() };
    let value = checker.value(Some(&schema.root), &config.node, &root).unwrap_or_default();
    if !checker.errors.is_empty() {
        return Err(checker.errors);
    }
    let mut with_defaults = value.clone();
    fill_defaults(&schema.root, &mut with_defaults);
    let mut masked = value.clone();
    for pointer in &checker.secret_pointers {
        if let Some(secret) = masked.pointer_mut(pointer) {
            *secret = MASK.into();
        }
    }
    let Checker { secrets, secret_pointers, .. } = checker;
    Ok(CheckedConfig { value, with_defaults, masked, secrets, secret_pointers })
}

#[derive(Default)]
struct Checker {
    errors: Vec<Diagnostic>,
    secrets: Vec<String>,
    secrets_known: HashSet<String>,
    secret_pointers: Vec<String>,
}

/// Where a value stands: the key to point at, how to call it, its JSON pointer.
struct Place {
    at: Span,
    name: String,
    pointer: String,
}

impl Place {
    fn of_key(&self, entry: &Entry) -> Place {
        let escaped = entry.key.value.replace('~', "~0").replace('/', "~1");
        Place {
            at: entry.key.span,
            name: format!("`{}`", shorten(&entry.key.value)),
            pointer: format!("{}/{escaped}", self.pointer),
        }
    }

    fn of_item(&self, index: usize, item: &Node) -> Place {
        Place {
            at: item.span,
            name: format!("an item of {}", self.name),
            pointer: format!("{}/{index}", self.pointer),
        }
    }
}

impl Checker {
    /// The value as JSON; none where it is wrong.
    fn value(&mut self, shape: Option<&Shape>, node: &Node, place: &Place) -> Option<Value> {
        let value = match &node.kind {
            Kind::Scalar(scalar) => self.scalar(shape, scalar, node, place)?,
            Kind::List(items) => {
                self.expect(shape, Type::List, node, place)?;
                let item_shape = shape.and_then(|shape| shape.items.as_deref());
                let values: Option<Vec<_>> = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.value(item_shape, item, &place.of_item(index, item)))
                    // All of them are looked at before the first failure counts.
                    .collect::<Vec<_>>()
                    .into_iter()
                    .collect();
                let count = items.len() as u64;
                let (min, max) = shape.map_or((None, None), |shape| (shape.items_min, shape.items_max));
                self.within(count, min, max, "items", node, place)?;
                Value::Array(values?)
            }
            Kind::Map(entries) => {
                self.expect(shape, Type::Map, node, place)?;
                self.map(shape, entries, place)?
            }
        };
        if shape.is_some_and(|shape| shape.secret) {
            self.add_secret(&value, &place.pointer);
        }
        self.allowed(shape, &value, node, place)?;
        Some(value)
    }

    fn map(&mut self, shape: Option<&Shape>, entries: &[Entry], place: &Place) -> Option<Value> {
        let any = Shape::default();
        let described = shape.unwrap_or(&any);
        let required: HashSet<&str> = described.required.iter().map(String::as_str).collect();
        let mut values = Map::new();
        let mut sound = true;
        for entry in entries {
            let inner = place.of_key(entry);
            let property = described.property(&entry.key.value);
            let shape = match (property, &described.additional) {
                (Some(property), _) => Some(property),
                (None, Additional::Shaped(shape)) => Some(&**shape),
                (None, Additional::Allowed) => None,
                (None, Additional::Refused) => {
                    self.unknown_key(described, entry, place);
                    sound = false;
                    continue;
                }
            };
            // `key:` without a value says as much as leaving the key out.
            if entry.value.is_null() && shape.is_some_and(|shape| !shape.types.contains(&Type::Null)) {
                if required.contains(entry.key.value.as_str()) {
                    let message = format!("{} has no value", inner.name);
                    self.errors.push(
                        Diagnostic::error("missing_value", entry.key.span, message)
                            .maybe_help(shape.and_then(|shape| shape.description.clone())),
                    );
                    sound = false;
                }
                continue;
            }
            match self.value(shape, &entry.value, &inner) {
                Some(value) => drop(values.insert(entry.key.value.clone(), value)),
                None => sound = false,
            }
        }
        let given: HashSet<&str> = entries.iter().map(|entry| entry.key.value.as_str()).collect();
        for name in &described.required {
            if !given.contains(name.as_str()) {
                let message = format!("{} lacks `{}`", place.name, shorten(name));
                let description =
                    described.property(name).and_then(|property| property.description.as_deref());
                self.errors.push(
                    Diagnostic::error("missing_key", place.at, message)
                        .maybe_help(description.map(|text| format!("`{}`: {text}", shorten(name)))),
                );
                sound = false;
            }
        }
        sound.then_some(Value::Object(values))
    }

    fn unknown_key(&mut self, shape: &Shape, entry: &Entry, place: &Place) {
        // Suggestions cost the most of all, and no one reads the hundredth.
        if self.errors.len() >= 2 * ERRORS_MAX {
            return;
        }
        let message = format!("unknown key `{}` in {}", shorten(&entry.key.value), place.name);
        let error = Diagnostic::error("unknown_key", entry.key.span, message);
        let known = || shape.properties.iter().map(|(name, _)| name.as_str());
        self.errors.push(match suggest(&entry.key.value, known()) {
            Some(similar) => error.label(format!("did you mean `{similar}`?")),
            None => error.help(format!("{} may have {}", place.name, all_of(known()))),
        });
    }

    fn scalar(
        &mut self,
        shape: Option<&Shape>,
        scalar: &Scalar,
        node: &Node,
        place: &Place,
    ) -> Option<Value> {
        self.note_environment(shape, scalar, &place.pointer);
        let typed = scalar.value();
        let types = shape.map_or(&[][..], |shape| &shape.types);
        let fits = |expected: &Type| {
            matches!(
                (expected, typed),
                (Type::Null, Typed::Null)
                    | (Type::Boolean, Typed::Bool(_))
                    | (Type::Integer, Typed::Int(_) | Typed::UInt(_))
                    | (Type::Number, Typed::Int(_) | Typed::UInt(_) | Typed::Float(_))
                    | (Type::Text, Typed::Text(_))
            )
        };
        let value = if types.is_empty() || types.iter().any(fits) {
            value_to_json(typed)
        } else if types.contains(&Type::Text) && scalar.is_from_environment() {
            // `password: ${PASSWORD}` is a text, even when the password is 12345.
            scalar.text().into()
        } else {
            let message =
                format!("{} must be {}, not {}", place.name, expected(types), described(shape, node));
            let error = Diagnostic::error("wrong_type", node.span, message);
            self.errors.push(error.maybe_help(quoting_help(types, scalar)));
            return None;
        };
        if let Some(shape) = shape {
            if let Value::Number(number) = &value
                && (shape.minimum.as_ref().is_some_and(|min| is_less(number, min))
                    || shape.maximum.as_ref().is_some_and(|max| is_less(max, number)))
            {
                let message = format!("{} is out of range", place.name);
                let help = match (&shape.minimum, &shape.maximum) {
                    (Some(min), Some(max)) => format!("it must be between {min} and {max}"),
                    (Some(min), None) => format!("it must be at least {min}"),
                    (None, Some(max)) => format!("it must be at most {max}"),
                    (None, None) => String::new(),
                };
                self.errors.push(Diagnostic::error("out_of_range", node.span, message).help(help));
                return None;
            }
            if let Some(text) = value.as_str() {
                let chars = text.chars().count() as u64;
                self.within(chars, shape.length_min, shape.length_max, "characters", node, place)?;
            }
        }
        Some(value)
    }

    /// Collects what came from the environment, unless the schema knows the field and does not call it secret.
    fn note_environment(&mut self, shape: Option<&Shape>, scalar: &Scalar, pointer: &str) {
        let Some((_, first)) = scalar.variables().first() else { return };
        let whole = scalar.variables().len() == 1 && scalar.text() == first;
        let described = shape.is_some_and(|shape| !shape.types.is_empty());
        if described && whole {
            return;
        }
        for (_, value) in scalar.variables() {
            self.add_secret_text(value);
        }
        self.secret_pointers.push(pointer.to_owned());
    }

    fn add_secret(&mut self, value: &Value, pointer: &str) {
        // Noting the environment may have added it just before.
        if self.secret_pointers.last().is_none_or(|last| last != pointer) {
            self.secret_pointers.push(pointer.to_owned());
        }
        // A secret may be a list or a mapping (headers): every text in it counts.
        let mut rest = vec![value];
        while let Some(value) = rest.pop() {
            match value {
                Value::String(text) => self.add_secret_text(text),
                Value::Number(number) => self.add_secret_text(&number.to_string()),
                Value::Array(items) => rest.extend(items),
                Value::Object(map) => rest.extend(map.values()),
                Value::Null | Value::Bool(_) => {}
            }
        }
    }

    fn add_secret_text(&mut self, text: &str) {
        if !text.is_empty() && self.secrets_known.insert(text.to_owned()) {
            self.secrets.push(text.to_owned());
        }
    }

    fn expect(&mut self, shape: Option<&Shape>, actual: Type, node: &Node, place: &Place) -> Option<()> {
        let types = shape.map_or(&[][..], |shape| &shape.types);
        if types.is_empty() || types.contains(&actual) {
            return Some(());
        }
        let message = format!("{} must be {}, not {}", place.name, expected(types), node.describe());
        // A mapping or list starts somewhere and ends far away: its key is the better place.
        self.errors.push(Diagnostic::error("wrong_type", place.at, message));
        None
    }

    fn within(
        &mut self,
        count: u64,
        min: Option<u64>,
        max: Option<u64>,
        unit: &str,
        node: &Node,
        place: &Place,
    ) -> Option<()> {
        let problem = if min.is_some_and(|min| count < min) {
            format!("{} must have at least {} {unit}", place.name, min.unwrap_or_default())
        } else if max.is_some_and(|max| count > max) {
            format!("{} must have at most {} {unit}", place.name, max.unwrap_or_default())
        } else {
            return Some(());
        };
        self.errors.push(Diagnostic::error("out_of_range", node.span, problem));
        None
    }

    fn allowed(&mut self, shape: Option<&Shape>, value: &Value, node: &Node, place: &Place) -> Option<()> {
        let Some(allowed) = shape.and_then(|shape| shape.allowed.as_deref()) else { return Some(()) };
        if allowed.contains(value) {
            return Some(());
        }
        let shown: Vec<String> = allowed
            .iter()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect();
        let known = || shown.iter().map(String::as_str);
        let message = format!("{} cannot be {}", place.name, described(shape, node));
        let error = Diagnostic::error("invalid_value", node.span, message)
            .help(format!("it can be {}", one_of(known())));
        let literal = node.as_scalar().filter(|scalar| !scalar.is_from_environment());
        let similar = literal.and_then(|scalar| suggest(scalar.raw(), known()));
        self.errors.push(match similar {
            Some(similar) => error.label(format!("did you mean `{similar}`?")),
            None => error,
        });
        None
    }
}

/// How messages show a value: not at all, if the field is secret.
fn described(shape: Option<&Shape>, node: &Node) -> String {
    match shape {
        Some(shape) if shape.secret => "what is written".to_owned(),
        _ => node.describe().into_owned(),
    }
}

fn expected(types: &[Type]) -> String {
    let names: Vec<_> = types.iter().filter(|kind| **kind != Type::Null).map(|kind| kind.name()).collect();
    names.join(" or ")
}

fn quoting_help(types: &[Type], scalar: &Scalar) -> Option<String> {
    if types.contains(&Type::Text) && scalar.is_plain() {
        return Some("put it in quotes to make it a text".to_owned());
    }
    let unquoted =
        matches!(Scalar::plain(scalar.text()).value(), Typed::Bool(_) | Typed::Int(_) | Typed::Float(_));
    (!scalar.is_plain() && unquoted).then(|| "remove the quotes: what is quoted is a text".to_owned())
}

/// Exact for whole numbers.
fn is_less(a: &Number, b: &Number) -> bool {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a < b,
        _ => a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a < b),
    }
}

/// Puts in the defaults of what is missing. Not into the items of lists: a default would be copied as often as the
/// document likes.
fn fill_defaults(shape: &Shape, value: &mut Value) {
    let Value::Object(map) = value else { return };
    for (name, property) in &shape.properties {
        match (map.get_mut(name), &property.default) {
            (Some(value), _) => fill_defaults(property, value),
            (None, Some(default)) => drop(map.insert(name.clone(), default.clone())),
            (None, None) => {}
        }
    }
}
