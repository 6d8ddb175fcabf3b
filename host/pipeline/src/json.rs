//! JSON text → node tree, with the strictness of `yaml`: unique keys, bounded size and depth. The tree has no places;
//! manifests in components are read this way.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use crate::diagnostic::Diagnostic;
use crate::limits::{DEPTH_MAX, NODES_MAX};
use crate::node::{Entry, Kind, Node, Scalar, shorten};
use crate::span::{Span, Spanned};

/// Reads a JSON document.
pub(crate) fn read(text: &str, bytes_max: usize) -> Result<Node, Box<Diagnostic>> {
    if text.len() > bytes_max {
        let message = format!("the document is {} bytes long, more than the {bytes_max} allowed", text.len());
        return Err(Box::new(Diagnostic::error("document_too_large", Span::NONE, message)));
    }
    let mut nodes = 0;
    let mut json = serde_json::Deserializer::from_str(text);
    let node = Seed { depth: 0, nodes: &mut nodes }.deserialize(&mut json);
    node.and_then(|node| json.end().map(|()| node)).map_err(|error| {
        Box::new(Diagnostic::error(
            "invalid_json",
            Span::NONE,
            format!("the document is not valid JSON: {error}"),
        ))
    })
}

struct Seed<'a> {
    depth: usize,
    nodes: &'a mut usize,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        *self.nodes += 1;
        if self.depth > DEPTH_MAX {
            return Err(D::Error::custom(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        if *self.nodes > NODES_MAX {
            return Err(D::Error::custom(format!("more than {NODES_MAX} values")));
        }
        deserializer.deserialize_any(self)
    }
}

fn scalar<E>(scalar: Scalar) -> Result<Node, E> {
    Ok(Node::new(Kind::Scalar(scalar), Span::NONE))
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        scalar(Scalar::plain("null"))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        scalar(Scalar::plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        scalar(Scalar::plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        scalar(Scalar::plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        scalar(Scalar::plain(format!("{value:?}")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        scalar(Scalar::quoted(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) =
            list.next_element_seed(Seed { depth: self.depth + 1, nodes: &mut *self.nodes })?
        {
            items.push(item);
        }
        Ok(Node::new(Kind::List(items), Span::NONE))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let (mut entries, mut seen) = (Vec::new(), HashSet::new());
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format!("the key `{}` is given twice", shorten(&key))));
            }
            let value = map.next_value_seed(Seed { depth: self.depth + 1, nodes: &mut *self.nodes })?;
            entries.push(Entry { key: Spanned::new(key, Span::NONE), value });
        }
        Ok(Node::new(Kind::Map(entries), Span::NONE))
    }
}
