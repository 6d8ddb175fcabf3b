//! Good manifests: what they mean, and that both their forms say the same.

use rapidbyte_core::ConnectorRole;
use rapidbyte_core::grants::TlsRequirement;
use rapidbyte_pipeline::Manifest;
use rapidbyte_pipeline::manifest::{
    DeclaredStreams, FilesystemAccess, FilesystemPlace, MANIFEST_FILE_NAME, Tier,
};

const SOURCE: &str = r#"
name: source-shop
version: 1.2.0-beta.1
role: source
description: Reads the shop.
author: Shop & Co
license: Apache-2.0
tier: official
wasm:
  entrypoint: source_shop.wasm
  target: wasm32-wasip2
  contract: rapidbyte:connector@4.0.0
  minimum_engine: 0.1.0
capabilities:
  network:
    allowed_hosts:
      - { host: API.example.com, port: 443, protocol: tcp, tls: required }
      - { host: "*.shop.example.com", port: 8443 }
      - { host: "::1", port: 80, tls: none }
    runtime_hosts: true
    tls: optional
  host_functions: [arrow_ipc, state_read, logging]
  env: [SHOP_REGION]
  filesystem:
    - { config: folder, access: read_write }
    - { path: /usr/share/zoneinfo }
limits: { memory: 128mb, timeout: 90s }
streams: [orders, items]
sync_modes: [full_refresh, incremental, cdc]
config_schema:
  type: object
  additionalProperties: false
  properties:
    host: { type: string }
    folder: { type: string }
    token: { type: string, x-rapidbyte-secret: true }
"#;

#[test]
fn a_whole_manifest() {
    let manifest =
        Manifest::from_yaml(SOURCE, MANIFEST_FILE_NAME).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(manifest.id(), "source-shop@1.2.0-beta.1");
    assert_eq!((manifest.role, manifest.tier), (ConnectorRole::Source, Tier::Official));
    assert_eq!(manifest.wasm.contract, "4.0.0");
    let network = manifest.capabilities.network.as_ref().unwrap();
    assert!(network.runtime_hosts);
    let hosts: Vec<_> =
        network.allowed_hosts.iter().map(|host| (host.host.as_str(), host.port, host.tls)).collect();
    assert_eq!(
        hosts,
        [
            ("api.example.com", 443, TlsRequirement::Required),
            ("*.shop.example.com", 8443, TlsRequirement::Optional),
            ("::1", 80, TlsRequirement::None),
        ]
    );
    let functions = manifest.host_functions();
    assert!(functions.state_read && functions.logging && !functions.state_write && !functions.metrics);
    assert_eq!(manifest.capabilities.env, ["SHOP_REGION"]);
    let folders = &manifest.capabilities.filesystem;
    assert_eq!(folders[0].place, FilesystemPlace::Config("folder".into()));
    assert_eq!(folders[0].access, FilesystemAccess::ReadWrite);
    assert_eq!(folders[1].place, FilesystemPlace::Path("/usr/share/zoneinfo".into()));
    assert_eq!(folders[1].access, FilesystemAccess::Read);
    assert_eq!((manifest.limits.memory_bytes, manifest.limits.timeout_ms), (128 << 20, 90_000));
    assert_eq!(manifest.streams, Some(DeclaredStreams::Named(vec!["orders".into(), "items".into()])));

    let json = manifest.to_json();
    assert_eq!(Manifest::from_json(&json, "component").unwrap_or_else(|errors| panic!("{errors}")), manifest);
}

#[test]
fn nothing_is_granted_by_default() {
    let text = "name: transform-x\nversion: 1.0.0\nrole: transform\ndescription: x\nlicense: MIT\nwasm: { entrypoint: x.wasm }\n";
    let manifest = Manifest::from_yaml(text, "m.yaml").unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(manifest.capabilities, Default::default());
    assert_eq!(manifest.tier, Tier::Community);
    assert_eq!(manifest.config_schema, None);
    assert_eq!(Manifest::from_json(&manifest.to_json(), "component").unwrap(), manifest);
}

#[test]
fn the_json_of_strangers_is_checked_alike() {
    let good = Manifest::from_yaml(SOURCE, "m.yaml").unwrap().to_json();
    let code = |json: &str| Manifest::from_json(json, "component").expect_err(json).errors[0].code;
    assert_eq!(code(""), "invalid_json");
    assert_eq!(code("null"), "wrong_type");
    assert_eq!(code(&good.replacen("{", "{\"nmae\":1,", 1)), "unknown_key");
    assert_eq!(code(&good.replacen("{", "{\"name\":\"a\",", 1)), "invalid_json");
    assert_eq!(code(&good.replace("source_shop.wasm", "../../bin/sh.wasm")), "invalid_value");
    assert_eq!(code(&good.replace("\"4.0.0\"", "\"3.0.0\"")), "unsupported_contract");
    assert_eq!(code(&"[".repeat(100_000)), "invalid_json");
    let rendered = Manifest::from_json(&good.replace("4.0.0", "3.0.0"), "component").unwrap_err().render();
    assert!(rendered.contains("--> component"), "{rendered}");
}

/// What the repository itself ships must be readable.
#[test]
fn our_connectors_have_good_manifests() {
    let connectors = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../connectors");
    let mut read = 0;
    for entry in std::fs::read_dir(connectors).unwrap() {
        let path = entry.unwrap().path().join(MANIFEST_FILE_NAME);
        if let Ok(text) = std::fs::read_to_string(&path) {
            let name = path.display().to_string();
            let manifest = Manifest::from_yaml(&text, &name).unwrap_or_else(|errors| panic!("{errors}"));
            assert_eq!(Manifest::from_json(&manifest.to_json(), &name).unwrap(), manifest);
            read += 1;
        }
    }
    assert!(read > 0, "no manifest was found");
}
