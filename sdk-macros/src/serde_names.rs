//! The part of serde's attributes that a schema has to follow: names, aliases, defaults, skipping. What would make the
//! schema lie is refused.

use syn::meta::ParseNestedMeta;
use syn::{Attribute, Error, LitStr, Result, Token, parenthesized};

/// What serde is told about a struct or enum.
#[derive(Default)]
pub struct Container {
    pub rename_all: Option<Case>,
    pub default: bool,
}

/// What serde is told about a field or variant.
#[derive(Default)]
pub struct Member {
    pub rename: Option<String>,
    pub aliases: Vec<String>,
    pub default: bool,
    pub skip: bool,
}

/// serde's naming conventions.
#[derive(Clone, Copy)]
pub enum Case {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

impl Case {
    fn parse(text: &LitStr) -> Result<Self> {
        Ok(match text.value().as_str() {
            "lowercase" => Case::Lower,
            "UPPERCASE" => Case::Upper,
            "PascalCase" => Case::Pascal,
            "camelCase" => Case::Camel,
            "snake_case" => Case::Snake,
            "SCREAMING_SNAKE_CASE" => Case::ScreamingSnake,
            "kebab-case" => Case::Kebab,
            "SCREAMING-KEBAB-CASE" => Case::ScreamingKebab,
            other => return Err(Error::new(text.span(), format!("serde has no case `{other}`"))),
        })
    }

    /// A field's name: it is written in snake case.
    pub fn field(self, name: &str) -> String {
        let pascal = || -> String { name.split('_').map(capitalized).collect() };
        match self {
            Case::Lower | Case::Snake => name.to_owned(),
            Case::Upper | Case::ScreamingSnake => name.to_uppercase(),
            Case::Pascal => pascal(),
            Case::Camel => uncapitalized(&pascal()),
            Case::Kebab => name.replace('_', "-"),
            Case::ScreamingKebab => name.to_uppercase().replace('_', "-"),
        }
    }

    /// A variant's name: it is written in Pascal case.
    pub fn variant(self, name: &str) -> String {
        let snake = || {
            let mut out = String::new();
            for (index, letter) in name.char_indices() {
                if index > 0 && letter.is_uppercase() {
                    out.push('_');
                }
                out.extend(letter.to_lowercase());
            }
            out
        };
        match self {
            Case::Lower => name.to_lowercase(),
            Case::Upper => name.to_uppercase(),
            Case::Pascal => name.to_owned(),
            Case::Camel => uncapitalized(name),
            Case::Snake => snake(),
            Case::ScreamingSnake => snake().to_uppercase(),
            Case::Kebab => snake().replace('_', "-"),
            Case::ScreamingKebab => snake().to_uppercase().replace('_', "-"),
        }
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn uncapitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// `rename = "x"` or `rename(deserialize = "x", serialize = "y")`: the name that is read.
fn deserialize_text(meta: &ParseNestedMeta<'_>) -> Result<Option<LitStr>> {
    if meta.input.peek(Token![=]) {
        return meta.value()?.parse().map(Some);
    }
    let inside;
    parenthesized!(inside in meta.input);
    let mut text = None;
    while !inside.is_empty() {
        let word: syn::Ident = inside.parse()?;
        inside.parse::<Token![=]>()?;
        let value: LitStr = inside.parse()?;
        if word == "deserialize" {
            text = Some(value);
        }
        if !inside.is_empty() {
            inside.parse::<Token![,]>()?;
        }
    }
    Ok(text)
}

/// Reads over an attribute that does not concern the schema.
fn skip_value(meta: &ParseNestedMeta<'_>) -> Result<()> {
    if meta.input.peek(Token![=]) {
        meta.value()?.parse::<syn::Expr>()?;
    } else if meta.input.peek(syn::token::Paren) {
        let inside;
        parenthesized!(inside in meta.input);
        inside.parse::<proc_macro2::TokenStream>()?;
    }
    Ok(())
}

pub fn container(attributes: &[Attribute]) -> Result<Container> {
    let mut container = Container::default();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename_all") {
                container.rename_all = deserialize_text(&meta)?.map(|text| Case::parse(&text)).transpose()?;
            } else if meta.path.is_ident("default") {
                container.default = true;
                skip_value(&meta)?;
            } else if ["tag", "content", "untagged", "transparent", "from", "try_from", "remote"]
                .iter()
                .any(|word| meta.path.is_ident(word))
            {
                return Err(meta.error(
                    "`ConfigSchema` cannot follow this serde attribute: implement `rapidbyte_sdk::schema::SchemaType` by hand",
                ));
            } else {
                skip_value(&meta)?;
            }
            Ok(())
        })?;
    }
    Ok(container)
}

pub fn member(attributes: &[Attribute]) -> Result<Member> {
    let mut member = Member::default();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename") {
                member.rename = deserialize_text(&meta)?.map(|text| text.value());
            } else if meta.path.is_ident("alias") {
                member.aliases.push(meta.value()?.parse::<LitStr>()?.value());
            } else if meta.path.is_ident("default") {
                member.default = true;
                skip_value(&meta)?;
            } else if meta.path.is_ident("skip") || meta.path.is_ident("skip_deserializing") {
                member.skip = true;
            } else if meta.path.is_ident("flatten") {
                return Err(meta.error("a configuration cannot be flattened: its keys would not be checked. Nest the struct under a key"));
            } else {
                skip_value(&meta)?;
            }
            Ok(())
        })?;
    }
    Ok(member)
}
