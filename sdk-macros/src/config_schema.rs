//! `#[derive(ConfigSchema)]`: a const tree from a struct's fields, its doc comments and attributes.

use proc_macro2::{Literal, TokenStream};
use quote::quote;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Expr, ExprLit, Fields, Lit, LitStr, Meta, Result, UnOp};

use crate::serde_names;

pub fn expand(item: TokenStream) -> TokenStream {
    syn::parse2(item).and_then(|input| derive(&input)).unwrap_or_else(Error::into_compile_error)
}

fn derive(input: &DeriveInput) -> Result<TokenStream> {
    if !input.generics.params.is_empty() {
        return Err(Error::new(
            input.generics.span(),
            "`ConfigSchema` cannot be derived for a generic type: a schema is one constant text",
        ));
    }
    match &input.data {
        Data::Struct(data) => derive_struct(input, &data.fields),
        Data::Enum(data) => derive_enum(input, data),
        Data::Union(data) => {
            Err(Error::new(data.union_token.span, "`ConfigSchema` cannot be derived for a union"))
        }
    }
}

fn derive_struct(input: &DeriveInput, fields: &Fields) -> Result<TokenStream> {
    let container = serde_names::container(&input.attrs)?;
    let fields = match fields {
        Fields::Named(fields) => fields.named.iter().collect(),
        Fields::Unit => Vec::new(),
        Fields::Unnamed(fields) => {
            return Err(Error::new(
                fields.span(),
                "a configuration has named fields, which are the keys users write: give this struct named fields",
            ));
        }
    };
    let mut nodes = Vec::new();
    for field in fields {
        let names = serde_names::member(&field.attrs)?;
        let options = FieldOptions::parse(&field.attrs)?;
        if names.skip || options.skip {
            continue;
        }
        let Some(ident) = &field.ident else { continue };
        let written = ident.to_string();
        let written = written.trim_start_matches("r#");
        let name = names.rename.unwrap_or_else(|| {
            container.rename_all.map_or_else(|| written.to_owned(), |case| case.field(written))
        });
        let aliases = names.aliases;
        let description = description(&field.attrs);
        let field_type = &field.ty;
        let defaulted = names.default || container.default;
        let default = options.default.map_or_else(
            || quote! { ::core::option::Option::None },
            |value| {
                quote! {
                    ::core::option::Option::Some(
                        #value.checked(&<#field_type as ::rapidbyte_sdk::schema::SchemaType>::NODE)
                    )
                }
            },
        );
        let secret = options.secret;
        nodes.push(quote! {
            ::rapidbyte_sdk::schema::Field {
                name: #name,
                aliases: &[#(#aliases),*],
                description: #description,
                node: <#field_type as ::rapidbyte_sdk::schema::SchemaType>::NODE,
                defaulted: #defaulted,
                default: #default,
                secret: #secret,
            }
        });
    }
    let description = description(&input.attrs);
    let node = quote! {
        ::rapidbyte_sdk::schema::Node::Object(&::rapidbyte_sdk::schema::Object {
            description: #description,
            fields: &[#(#nodes),*],
        })
    };
    let schema_type = implement_type(input, &node);
    let name = &input.ident;
    let title = name.to_string();
    Ok(quote! {
        #schema_type

        #[automatically_derived]
        impl ::rapidbyte_sdk::ConfigSchema for #name {
            const SCHEMA: &'static str = {
                const NODE: ::rapidbyte_sdk::schema::Node = <#name as ::rapidbyte_sdk::schema::SchemaType>::NODE;
                const BYTES: [u8; ::rapidbyte_sdk::schema::rendered_len(#title, &NODE)] =
                    ::rapidbyte_sdk::schema::render(#title, &NODE);
                ::rapidbyte_sdk::schema::text(&BYTES)
            };
        }
    })
}

fn derive_enum(input: &DeriveInput, data: &syn::DataEnum) -> Result<TokenStream> {
    let container = serde_names::container(&input.attrs)?;
    let mut words = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new(
                variant.span(),
                "only enums of unit variants can be part of a configuration: make this a struct with an optional field per case",
            ));
        }
        let names = serde_names::member(&variant.attrs)?;
        if names.skip {
            continue;
        }
        let written = variant.ident.to_string();
        words.push(names.rename.unwrap_or_else(|| {
            container.rename_all.map_or_else(|| written.clone(), |case| case.variant(&written))
        }));
        words.extend(names.aliases);
    }
    Ok(implement_type(input, &quote! { ::rapidbyte_sdk::schema::Node::Enum(&[#(#words),*]) }))
}

fn implement_type(input: &DeriveInput, node: &TokenStream) -> TokenStream {
    let name = &input.ident;
    quote! {
        #[automatically_derived]
        impl ::rapidbyte_sdk::schema::SchemaType for #name {
            const NODE: ::rapidbyte_sdk::schema::Node = #node;
        }
    }
}

/// The doc comment as one text: lines of a paragraph joined, paragraphs apart.
fn description(attributes: &[Attribute]) -> String {
    let mut paragraphs: Vec<String> = vec![String::new()];
    for attribute in attributes {
        let Meta::NameValue(meta) = &attribute.meta else { continue };
        if !meta.path.is_ident("doc") {
            continue;
        }
        let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &meta.value else { continue };
        // An empty doc line has no lines, but parts paragraphs.
        for line in text.value().split('\n') {
            let line = line.trim();
            match paragraphs.last_mut() {
                _ if line.is_empty() => paragraphs.push(String::new()),
                Some(last) if last.is_empty() => last.push_str(line),
                Some(last) => {
                    last.push(' ');
                    last.push_str(line);
                }
                None => paragraphs.push(line.to_owned()),
            }
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs.join("\n\n")
}

/// `#[config(…)]` on a field.
#[derive(Default)]
struct FieldOptions {
    secret: bool,
    skip: bool,
    default: Option<TokenStream>,
}

impl FieldOptions {
    fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut options = FieldOptions::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("config")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("secret") {
                    options.secret = true;
                } else if meta.path.is_ident("skip") {
                    options.skip = true;
                } else if meta.path.is_ident("default") {
                    options.default = Some(default_value(&meta.value()?.parse::<Expr>()?)?);
                } else {
                    return Err(meta.error(
                        "unknown option: `#[config(…)]` takes `secret`, `skip` and `default = <literal>`",
                    ));
                }
                Ok(())
            })?;
        }
        Ok(options)
    }
}

fn default_value(value: &Expr) -> Result<TokenStream> {
    let refused = || {
        Error::new(
            value.span(),
            "a default is a literal (number, text, `true` or `false`), so that the schema can show it; for anything else use `#[serde(default = \"function\")]`",
        )
    };
    let (negative, literal) = match value {
        Expr::Lit(literal) => (false, &literal.lit),
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => match unary.expr.as_ref() {
            Expr::Lit(literal) => (true, &literal.lit),
            _ => return Err(refused()),
        },
        _ => return Err(refused()),
    };
    match literal {
        Lit::Int(int) => {
            let parsed: i128 = int.base10_parse()?;
            let signed = if negative { -parsed } else { parsed };
            if i64::try_from(signed).is_err() && u64::try_from(signed).is_err() {
                return Err(Error::new(value.span(), "the default does not fit 64 bits"));
            }
            let literal = Literal::i128_suffixed(parsed);
            let signed = if negative {
                quote! { -#literal }
            } else {
                quote! { #literal }
            };
            Ok(quote! { ::rapidbyte_sdk::schema::DefaultValue::Int(#signed) })
        }
        Lit::Float(float) => {
            let parsed: f64 = float.base10_parse()?;
            let text = format!("{:?}", if negative { -parsed } else { parsed });
            let text = LitStr::new(&text, value.span());
            Ok(quote! { ::rapidbyte_sdk::schema::DefaultValue::Float(#text) })
        }
        Lit::Str(text) if !negative => Ok(quote! { ::rapidbyte_sdk::schema::DefaultValue::Text(#text) }),
        Lit::Bool(bool) if !negative => Ok(quote! { ::rapidbyte_sdk::schema::DefaultValue::Bool(#bool) }),
        _ => Err(refused()),
    }
}
