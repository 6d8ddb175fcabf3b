//! The SDK's procedural macros: `#[connector]`, which makes a struct a component, and `#[derive(ConfigSchema)]`. They only
//! write code that refers to `rapidbyte_sdk`; whatever can be an ordinary function lives there.

mod config_schema;
mod connector;
mod serde_names;

use proc_macro::TokenStream;

/// Makes a struct the connector of this crate: `#[connector(source)]`, `#[connector(destination)]` or
/// `#[connector(transform)]`.
///
/// The struct must implement the trait of the role. Built for `wasm32-wasip2`, the crate exports that role as a component
/// and carries the JSON Schema of its configuration; built natively, the attribute only checks. A crate has one connector.
#[proc_macro_attribute]
pub fn connector(args: TokenStream, item: TokenStream) -> TokenStream {
    connector::expand(args.into(), item.into()).into()
}

/// Derives the configuration schema of a struct, or of an enum of unit variants. See `rapidbyte_sdk::ConfigSchema`.
#[proc_macro_derive(ConfigSchema, attributes(config, serde))]
pub fn config_schema(item: TokenStream) -> TokenStream {
    config_schema::expand(item.into()).into()
}
