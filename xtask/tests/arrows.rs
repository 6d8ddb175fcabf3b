//! The rooms and the arrows between them, held against what cargo knows. A new arrow is a decision: it belongs in
//! `docs/architecture.md` first and here second.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Who may use whom, of the product's own crates. Anything not listed uses none of them.
const ARROWS: &[(&str, &[&str])] = &[
    ("rapidbyte-cli", &["rapidbyte-host", "rapidbyte-conformance"]),
    ("rapidbyte-conformance", &["rapidbyte-host"]),
    (
        "rapidbyte-host",
        &[
            "rapidbyte-engine",
            "rapidbyte-install",
            "rapidbyte-packages",
            "rapidbyte-publish",
            "rapidbyte-query",
            "rapidbyte-registry",
            "rapidbyte-signing",
            "rapidbyte-trust",
            "rapidbyte-wasm",
            "rapidbyte-state",
            "rapidbyte-telemetry",
            "rapidbyte-scaffold",
            "rapidbyte-pipeline",
            "rapidbyte-core",
        ],
    ),
    ("rapidbyte-engine", &["rapidbyte-pipeline", "rapidbyte-core"]),
    ("rapidbyte-pipeline", &["rapidbyte-core"]),
    ("rapidbyte-wasm", &["rapidbyte-core"]),
    ("rapidbyte-state", &["rapidbyte-core"]),
    ("rapidbyte-telemetry", &["rapidbyte-core"]),
    ("rapidbyte-query", &["rapidbyte-core"]),
    ("rapidbyte-scaffold", &[]),
    (
        "rapidbyte-install",
        &[
            "rapidbyte-registry",
            "rapidbyte-trust",
            "rapidbyte-packages",
            "rapidbyte-pipeline",
            "rapidbyte-core",
        ],
    ),
    ("rapidbyte-publish", &["rapidbyte-packages", "rapidbyte-signing", "rapidbyte-trust"]),
    ("rapidbyte-trust", &["rapidbyte-packages", "rapidbyte-signing"]),
    ("rapidbyte-signing", &["rapidbyte-packages"]),
    ("rapidbyte-registry", &["rapidbyte-packages"]),
    ("rapidbyte-packages", &["rapidbyte-pipeline", "rapidbyte-core"]),
    ("registry-fixtures", &[]),
    ("rapidbyte-core", &[]),
    ("rapidbyte-sdk", &["rapidbyte-sdk-macros"]),
    ("rapidbyte-sdk-macros", &[]),
    ("xtask", &[]),
];

/// Lives with the connectors, whose logic it runs natively, and measures everything.
const BENCHES: &str = "rapidbyte-benches";

/// Connectors are users of the SDK like anybody else, and may share code among themselves.
const CONNECTORS_MAY_USE: &[&str] = &["rapidbyte-sdk", "rapidbyte-postgres", "rapidbyte-text"];

/// Heavy or telling dependencies and the only rooms that may have them.
const KEEPERS: &[(&str, &[&str])] = &[
    ("wasmtime", &["rapidbyte-wasm"]),
    ("wasmtime-wasi", &["rapidbyte-wasm"]),
    ("rustls", &["rapidbyte-wasm", "rapidbyte-registry", "rapidbyte-state", "rapidbyte-telemetry"]),
    ("reqwest", &["rapidbyte-registry", "rapidbyte-telemetry"]),
    ("ring", &["rapidbyte-signing", "registry-fixtures"]),
    ("sigstore-verify", &["rapidbyte-signing"]),
    ("rusqlite", &["rapidbyte-state"]),
    ("tokio-postgres", &["rapidbyte-state"]),
    ("datafusion", &["rapidbyte-query"]),
    ("parquet", &["rapidbyte-query"]),
    ("saphyr-parser", &["rapidbyte-pipeline"]),
    ("clap", &["rapidbyte-cli"]),
    ("indicatif", &["rapidbyte-cli"]),
    ("opentelemetry", &["rapidbyte-telemetry"]),
    ("opentelemetry_sdk", &["rapidbyte-telemetry"]),
    ("tracing-subscriber", &["rapidbyte-cli", "rapidbyte-telemetry"]),
    ("wit-bindgen", &["rapidbyte-sdk"]),
];

/// Crate by crate of one workspace, what it is built with (tests' needs do not count).
fn dependencies(manifest: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .exec()
        .unwrap_or_else(|error| panic!("cargo metadata of {}: {error}", manifest.display()));
    metadata
        .packages
        .iter()
        .map(|package| {
            let built_with = package.dependencies.iter().filter(|it| it.kind != DependencyKind::Development);
            (package.name.to_string(), built_with.map(|it| it.name.clone()).collect())
        })
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository")
}

/// Every arrow and keeper that does not hold, as sentences.
fn violations(crates: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, uses) in crates {
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| from == name) else {
            found.push(format!("`{name}` is not in the table of rooms"));
            continue;
        };
        for used in uses.iter().filter(|used| crates.contains_key(*used)) {
            if !allowed.contains(&used.as_str()) {
                found.push(format!("`{name}` may not use `{used}`"));
            }
        }
        for (heavy, keepers) in KEEPERS {
            if uses.contains(*heavy) && !keepers.contains(&name.as_str()) {
                found.push(format!("`{name}` may not use `{heavy}`, only {keepers:?} may"));
            }
        }
    }
    found
}

#[test]
fn the_arrows_point_one_way() {
    let crates = dependencies(&root().join("Cargo.toml"));
    assert_eq!(violations(&crates), Vec::<String>::new());
    for (name, _) in ARROWS {
        assert!(crates.contains_key(*name), "`{name}` is in the table and not in the workspace");
    }
}

#[test]
fn connectors_use_the_sdk_alone() {
    let product = dependencies(&root().join("Cargo.toml"));
    let connectors = dependencies(&root().join("connectors/Cargo.toml"));
    for (name, uses) in connectors.iter().filter(|(name, _)| *name != BENCHES) {
        let ours = uses.iter().filter(|used| product.contains_key(*used) || connectors.contains_key(*used));
        for used in ours {
            assert!(CONNECTORS_MAY_USE.contains(&used.as_str()), "connector `{name}` may not use `{used}`");
        }
    }
}

#[test]
fn a_wrong_arrow_is_found() {
    let mut crates = dependencies(&root().join("Cargo.toml"));
    for (from, to) in [("rapidbyte-core", "rapidbyte-engine"), ("rapidbyte-state", "wasmtime")] {
        crates.get_mut(from).expect("in the workspace").insert(to.to_owned());
    }
    crates.insert("rapidbyte-util".to_owned(), BTreeSet::new());
    assert_eq!(violations(&crates).len(), 3);
}
