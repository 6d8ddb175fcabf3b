//! Generated bindings: the imports every role has, and one module per role with its export macro. Only the module that
//! `#[connector]` names leaves anything in the component.

#![allow(missing_docs, clippy::all, reason = "generated")]

wit_bindgen::generate!({
    path: "../wit",
    world: "rapidbyte-host",
    runtime_path: "::wit_bindgen::rt",
    generate_unused_types: true,
    generate_all,
});

macro_rules! role {
    ($module:ident, $world:literal) => {
        pub mod $module {
            ::wit_bindgen::generate!({
                path: "../wit",
                world: $world,
                runtime_path: "::rapidbyte_sdk::__private::wit_bindgen::rt",
                pub_export_macro: true,
                with: {
                    "rapidbyte:connector/core-types@4.0.0": super::rapidbyte::connector::core_types,
                    "rapidbyte:connector/stream-types@4.0.0": super::rapidbyte::connector::stream_types,
                    "rapidbyte:connector/telemetry@4.0.0": super::rapidbyte::connector::telemetry,
                    "rapidbyte:connector/host-io@4.0.0": super::rapidbyte::connector::host_io,
                },
            });
        }
    };
}

role!(source, "rapidbyte-source");
role!(destination, "rapidbyte-destination");
role!(transform, "rapidbyte-transform");
