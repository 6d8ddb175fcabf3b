//! The bill of materials of a connector, as CycloneDX 1.5: what it is made of, as far as that is known, and whether that is
//! all. Without serial number and time, so that the same materials make the same document.

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";
const SPEC_VERSION: &str = "1.5";
/// The connector itself, among the references of the document.
const ROOT: &str = "connector";

/// One thing that it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Material {
    pub name: String,
    pub version: String,
    /// `pkg:cargo/serde@1.0.0`: also what `needs` name it by.
    pub purl: String,
    /// An SPDX expression.
    pub license: Option<String>,
    /// What it is made of itself.
    pub needs: Vec<String>,
}

/// Everything that is known of what a connector is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bill {
    pub materials: Vec<Material>,
    /// What the connector itself names.
    pub direct: Vec<String>,
    /// Whether nothing is missing.
    pub complete: bool,
}

/// The document.
pub fn document(name: &str, version: &str, license: &str, bill: &Bill) -> Vec<u8> {
    let mut materials: BTreeMap<&str, &Material> = BTreeMap::new();
    for material in &bill.materials {
        materials.insert(&material.purl, material);
    }
    let components: Vec<Value> = materials.values().map(|material| component(material)).collect();
    let mut dependencies = vec![json!({ "ref": ROOT, "dependsOn": sorted(&bill.direct) })];
    dependencies
        .extend(materials.values().map(|it| json!({ "ref": it.purl, "dependsOn": sorted(&it.needs) })));
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": ROOT,
                "name": name,
                "version": version,
                "licenses": licenses(license),
            },
            "tools": { "components": [{
                "type": "application", "name": "rapidbyte", "version": env!("CARGO_PKG_VERSION"),
            }] },
        },
        "components": components,
        "dependencies": dependencies,
        "compositions": [{
            "aggregate": if bill.complete { "complete" } else { "incomplete" },
            "assemblies": [ROOT],
        }],
    });
    // A tree of texts and numbers always serialises.
    serde_json::to_vec(&document).unwrap_or_default()
}

fn component(material: &Material) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": material.purl,
        "name": material.name,
        "version": material.version,
        "purl": material.purl,
    });
    if let Some(license) = &material.license {
        component["licenses"] = licenses(license);
    }
    component
}

/// Cargo once let alternatives be written with a slash.
fn licenses(expression: &str) -> Value {
    let spdx = expression.replace(" / ", "/").replace('/', " OR ");
    json!([{ "expression": spdx }])
}

fn sorted(names: &[String]) -> Vec<&String> {
    let mut names: Vec<&String> = names.iter().collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_materials_make_the_same_document() {
        let material = |name: &str, needs: &[&str]| Material {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            purl: format!("pkg:cargo/{name}@1.0.0"),
            license: Some("MIT/Apache-2.0".to_owned()),
            needs: needs.iter().map(|need| format!("pkg:cargo/{need}@1.0.0")).collect(),
        };
        let (serde, json) = (material("serde", &[]), material("serde_json", &["serde"]));
        let direct = vec![json.purl.clone()];
        let bill = |materials| Bill { materials, direct: direct.clone(), complete: true };
        let one =
            document("source-a", "0.1.0", "MIT", &bill(vec![serde.clone(), json.clone(), serde.clone()]));
        let two = document("source-a", "0.1.0", "MIT", &bill(vec![json, serde]));
        assert_eq!(one, two);
        let value: Value = serde_json::from_slice(&one).unwrap();
        assert_eq!(value["components"].as_array().unwrap().len(), 2);
        assert_eq!(value["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(value["dependencies"][0]["dependsOn"][0], "pkg:cargo/serde_json@1.0.0");
        assert_eq!(value["compositions"][0]["aggregate"], "complete");
        let unknown = document("source-a", "0.1.0", "MIT", &Bill::default());
        assert!(String::from_utf8(unknown).unwrap().contains("\"incomplete\""));
    }
}
