//! A publication of a small package, for tests of pushing it. The component is none that would run; nothing here runs it.

// Each test file is a crate of its own and uses its part of this.
#![allow(dead_code)]

use bytes::Bytes;
use rapidbyte_packages::package::ComponentFacts;
use rapidbyte_pipeline::Manifest;
use rapidbyte_publish::provenance::Build;
use rapidbyte_publish::sbom::Bill;
use rapidbyte_publish::{Native, Parts, Publication};
use rapidbyte_signing::PrivateKey;
use serde_json::json;

pub const REPOSITORY: &str = "acme/source-a";
pub const REFERENCE: &str = "registry.example/acme/source-a";

pub fn parts(version: &str) -> Parts {
    let yaml = format!(
        "name: source-a\nversion: {version}\nrole: source\ndescription: A\nlicense: MIT\ntier: community\n\
         wasm: {{ entrypoint: a.wasm, target: wasm32-wasip2, contract: 4.0.0 }}\n\
         capabilities: {{ env: [TOKEN] }}\nlimits: {{ memory: 64mb, timeout: 1h }}\nstreams: discovery\n\
         sync_modes: [full_refresh]\nconfig_schema: {{ type: object, properties: {{}} }}\n"
    );
    let manifest = Manifest::from_yaml(&yaml, "rapidbyte-plugin.yaml").unwrap();
    Parts {
        component: Bytes::from(format!("\0asm component {version}")),
        facts: ComponentFacts {
            imports: vec!["wasi:io/poll@0.2.6".to_owned()],
            exports: vec!["rapidbyte:connector/source@4.0.0".to_owned()],
            manifest_json: manifest.to_json(),
        },
        native: vec![Native {
            target: "x86_64-unknown-linux-gnu".to_owned(),
            engine: "engine-1".to_owned(),
            code: Bytes::from_static(b"native code"),
        }],
        bill: Bill::default(),
        build: Build::default(),
        certificate: Some(json!({
            "result": "PASSED", "configuration": [{ "annotations": { "partial": false } }],
        })),
    }
}

pub fn publication(version: &str, key: Option<&PrivateKey>) -> Publication {
    Publication::new(parts(version), REFERENCE, key).unwrap()
}
