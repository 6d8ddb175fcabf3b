//! `#[connector(role)]` on a struct: exports for the component, a check natively.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{Error, Ident, Item, Result};

const USAGE: &str = "name the connector's role: `#[connector(source)]`, `#[connector(destination)]` or `#[connector(transform)]`";

#[derive(Clone, Copy)]
enum Role {
    Source,
    Destination,
    Transform,
}

impl Role {
    fn parse(args: TokenStream) -> Result<Self> {
        if args.is_empty() {
            return Err(Error::new(Span::call_site(), USAGE));
        }
        let span = args.span();
        let word: Ident = syn::parse2(args).map_err(|_| Error::new(span, USAGE))?;
        match word.to_string().as_str() {
            "source" => Ok(Role::Source),
            "destination" => Ok(Role::Destination),
            "transform" => Ok(Role::Transform),
            other => Err(Error::new(word.span(), format!("unknown role `{other}`; {USAGE}"))),
        }
    }

    fn trait_name(self) -> &'static str {
        match self {
            Role::Source => "Source",
            Role::Destination => "Destination",
            Role::Transform => "Transform",
        }
    }

    fn module(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Destination => "destination",
            Role::Transform => "transform",
        }
    }
}

pub fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    match check(args, &item) {
        Ok((role, name)) => {
            let exports = exports(role, &name);
            quote! { #item #exports }
        }
        // The struct stays, so that the one error is the only one.
        Err(error) => {
            let error = error.into_compile_error();
            quote! { #item #error }
        }
    }
}

fn check(args: TokenStream, item: &TokenStream) -> Result<(Role, Ident)> {
    let role = Role::parse(args)?;
    let item: Item = syn::parse2(item.clone())?;
    let (name, generics) = match &item {
        Item::Struct(item) => (&item.ident, &item.generics),
        Item::Enum(item) => (&item.ident, &item.generics),
        Item::Impl(item) => {
            return Err(Error::new(
                item.impl_token.span,
                format!(
                    "put `#[connector({})]` on the struct, not on its `impl {}`",
                    role.module(),
                    role.trait_name()
                ),
            ));
        }
        other => {
            return Err(Error::new(
                other.span(),
                format!(
                    "put `#[connector({})]` on the struct that implements `{}`",
                    role.module(),
                    role.trait_name()
                ),
            ));
        }
    };
    if !generics.params.is_empty() {
        return Err(Error::new(
            generics.span(),
            "a connector cannot be generic: the component needs one concrete type",
        ));
    }
    Ok((role, name.clone()))
}

fn exports(role: Role, name: &Ident) -> TokenStream {
    let trait_name = format_ident!("{}", role.trait_name(), span = name.span());
    let module = format_ident!("{}", role.module());
    let role_type = format_ident!("{}Role", role.trait_name());
    quote! {
        const _: () = {
            const fn implements_its_role<C: ::rapidbyte_sdk::#trait_name>() {}
            implements_its_role::<#name>();
        };

        #[cfg(target_family = "wasm")]
        const _: () = {
            type Component = ::rapidbyte_sdk::__private::export::Exports<
                ::rapidbyte_sdk::__private::#role_type<#name>
            >;
            ::rapidbyte_sdk::__private::bindings::#module::export!(
                Component with_types_in ::rapidbyte_sdk::__private::bindings::#module
            );

            const SCHEMA: &str = <<#name as ::rapidbyte_sdk::#trait_name>::Config
                as ::rapidbyte_sdk::ConfigSchema>::SCHEMA;

            #[used]
            #[unsafe(link_section = "rapidbyte:config-schema")]
            static SECTION: [u8; SCHEMA.len()] = ::rapidbyte_sdk::__private::schema::section(SCHEMA);
        };
    }
}
