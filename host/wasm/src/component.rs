//! What a component says about itself, read from its bytes without compiling or running it: role, imports, exports, the
//! custom sections with manifest and config schema.

use std::ops::Range;

use rapidbyte_core::limits::COMPONENT_BYTES_MAX;
use rapidbyte_core::{ConnectorRole, PROTOCOL_VERSION};
use wasmparser::component_types::ComponentEntityType;
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

use crate::sandbox;

/// The manifest as JSON, written at component level by `rapidbyte connector build`.
pub const MANIFEST_SECTION: &str = "rapidbyte:manifest";
/// The config's JSON Schema, written by the SDK into the core module.
pub const CONFIG_SCHEMA_SECTION: &str = "rapidbyte:config-schema";

const PACKAGE: &str = "rapidbyte:connector/";
const CONTRACT_IMPORTS: &[&str] = &["core-types", "stream-types", "telemetry", "host-io"];

/// Why bytes are not a connector that this host can run.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    #[error("cannot read `{path}`")]
    Read { path: String, source: std::io::Error },
    #[error("the component has {bytes} bytes, at most {COMPONENT_BYTES_MAX} are loaded")]
    TooLarge { bytes: u64 },
    #[error("this is a core WebAssembly module, not a component; build it for `wasm32-wasip2`")]
    CoreModule,
    #[error("this is not a WebAssembly component: {message}")]
    NotWasm { message: String },
    #[error(
        "the component exports none of `source`, `destination` and `transform` of `rapidbyte:connector@{PROTOCOL_VERSION}`"
    )]
    NoRole,
    #[error("the component exports both `{0}` and `{1}`, a connector has one role")]
    TwoRoles(ConnectorRole, ConnectorRole),
    #[error("the component is built for `rapidbyte:connector@{found}`, this host speaks {PROTOCOL_VERSION}")]
    Contract { found: String },
    #[error("the component imports `{import}`, which the sandbox does not provide")]
    Import { import: String },
    #[error("the component does not fit the contract: {message}")]
    Mismatch { message: String },
    #[error("the component does not compile: {message}")]
    Compile { message: String },
}

impl ComponentError {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            ComponentError::Read { .. } => "component_unreadable",
            ComponentError::TooLarge { .. } => "component_too_large",
            ComponentError::CoreModule => "component_is_core_module",
            ComponentError::NotWasm { .. } => "component_malformed",
            ComponentError::NoRole => "component_without_role",
            ComponentError::TwoRoles(..) => "component_with_two_roles",
            ComponentError::Contract { .. } => "component_contract_version",
            ComponentError::Import { .. } => "component_import",
            ComponentError::Mismatch { .. } => "component_mismatch",
            ComponentError::Compile { .. } => "component_does_not_compile",
        }
    }
}

/// What [`inspect`] finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    pub role: ConnectorRole,
    /// Names as they stand in the component: `wasi:io/poll@0.2.6`.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    /// Contents of [`MANIFEST_SECTION`].
    pub manifest_json: Option<String>,
    /// Contents of [`CONFIG_SCHEMA_SECTION`].
    pub config_schema_json: Option<String>,
    pub bytes: u64,
}

/// Reads a component. Everything that would keep it from being loaded, short of its code, is an error here.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, ComponentError> {
    if bytes.len() as u64 > COMPONENT_BYTES_MAX {
        return Err(ComponentError::TooLarge { bytes: bytes.len() as u64 });
    }
    let sections = sections(bytes)?;
    let role = role(sections.exports.iter().map(String::as_str))?;
    check_imports(sections.imports.iter().map(String::as_str))?;
    Ok(Inspection {
        role,
        imports: sections.imports,
        exports: sections.exports,
        manifest_json: sections.manifest,
        config_schema_json: sections.config_schema,
        bytes: bytes.len() as u64,
    })
}

/// Only the config schema, of a component or of a core module that is not a component yet.
pub fn config_schema(bytes: &[u8]) -> Result<Option<String>, ComponentError> {
    walk(bytes).map(|sections| sections.config_schema)
}

/// Where the custom section [`MANIFEST_SECTION`] stands in a component, id and size included; for whoever replaces it.
pub fn manifest_section(bytes: &[u8]) -> Result<Option<Range<usize>>, ComponentError> {
    sections(bytes).map(|sections| sections.manifest_range)
}

/// The functions of `host-io` that a component imports, by name (`tcp-connect`). It reaches nothing through the others.
/// Checks the whole component, so it takes its time.
pub fn host_functions(bytes: &[u8]) -> Result<Vec<String>, ComponentError> {
    let types = Validator::new_with_features(WasmFeatures::all()).validate_all(bytes).map_err(malformed)?;
    let name = format!("{PACKAGE}host-io@{PROTOCOL_VERSION}");
    let Some(ComponentEntityType::Instance(id)) =
        types.as_ref().component_item_for_import(&name).map(|item| item.ty)
    else {
        return Ok(Vec::new());
    };
    let exports = types[id].exports.iter();
    let functions = exports.filter(|(_, item)| matches!(item.ty, ComponentEntityType::Func(_)));
    Ok(functions.map(|(name, _)| name.clone()).collect())
}

#[derive(Default)]
struct Sections {
    is_component: bool,
    imports: Vec<String>,
    exports: Vec<String>,
    manifest: Option<String>,
    manifest_range: Option<Range<usize>>,
    config_schema: Option<String>,
}

fn sections(bytes: &[u8]) -> Result<Sections, ComponentError> {
    let sections = walk(bytes)?;
    if sections.is_component { Ok(sections) } else { Err(ComponentError::CoreModule) }
}

pub(crate) fn malformed(error: impl std::fmt::Display) -> ComponentError {
    ComponentError::NotWasm { message: error.to_string() }
}

fn walk(bytes: &[u8]) -> Result<Sections, ComponentError> {
    let mut sections = Sections::default();
    // Nested modules and components: the outermost is at depth 0.
    let mut depth = 0_usize;
    let mut started = false;
    // Where the section after the last one begins.
    let mut section_start = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(malformed)?;
        match &payload {
            Payload::Version { encoding, .. } => {
                if started {
                    depth += 1;
                } else {
                    started = true;
                    sections.is_component = *encoding == Encoding::Component;
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(reader) if depth == 0 => {
                for import in reader.clone() {
                    sections.imports.push(import.map_err(malformed)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(reader) if depth == 0 => {
                for export in reader.clone() {
                    sections.exports.push(export.map_err(malformed)?.name.name.to_owned());
                }
            }
            Payload::CustomSection(section) => {
                let text = || String::from_utf8(section.data().to_vec()).map_err(malformed);
                if depth == 0 && section.name() == MANIFEST_SECTION && sections.manifest.is_none() {
                    sections.manifest = Some(text()?);
                    sections.manifest_range = Some(section_start..section.range().end);
                } else if section.name() == CONFIG_SCHEMA_SECTION && sections.config_schema.is_none() {
                    sections.config_schema = Some(text()?);
                }
            }
            _ => {}
        }
        if let Some((_, range)) = payload.as_section() {
            section_start = range.end;
        } else if let Payload::Version { range, .. } = &payload {
            section_start = range.end;
        }
    }
    Ok(sections)
}

/// The one role among export names.
pub(crate) fn role<'a>(exports: impl Iterator<Item = &'a str>) -> Result<ConnectorRole, ComponentError> {
    let mut found = None;
    for export in exports {
        let Some((interface, version)) = export.strip_prefix(PACKAGE).and_then(|name| name.split_once('@'))
        else {
            continue;
        };
        let Some(role) = ConnectorRole::parse(interface) else { continue };
        if version != PROTOCOL_VERSION {
            return Err(ComponentError::Contract { found: version.to_owned() });
        }
        match found {
            Some(other) if other != role => return Err(ComponentError::TwoRoles(other, role)),
            _ => found = Some(role),
        }
    }
    found.ok_or(ComponentError::NoRole)
}

/// The name under which a role is exported.
pub(crate) fn role_export(role: ConnectorRole) -> String {
    format!("{PACKAGE}{role}@{PROTOCOL_VERSION}")
}

/// Refuses the first import that the sandbox does not have.
pub(crate) fn check_imports<'a>(imports: impl Iterator<Item = &'a str>) -> Result<(), ComponentError> {
    for import in imports {
        let (name, version) = import.split_once('@').unwrap_or((import, ""));
        if let Some(interface) = name.strip_prefix(PACKAGE) {
            if version != PROTOCOL_VERSION {
                return Err(ComponentError::Contract { found: version.to_owned() });
            }
            if CONTRACT_IMPORTS.contains(&interface) {
                continue;
            }
        } else if sandbox::INTERFACES.contains(&name) && version.starts_with("0.2.") {
            continue;
        }
        return Err(ComponentError::Import { import: import.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_role() {
        let role = |exports: &[&str]| role(exports.iter().copied());
        assert_eq!(role(&["rapidbyte:connector/source@4.0.0"]).unwrap(), ConnectorRole::Source);
        assert!(matches!(role(&["wasi:cli/run@0.2.0"]), Err(ComponentError::NoRole)));
        assert!(matches!(
            role(&["rapidbyte:connector/source@4.0.0", "rapidbyte:connector/transform@4.0.0"]),
            Err(ComponentError::TwoRoles(ConnectorRole::Source, ConnectorRole::Transform))
        ));
        assert!(matches!(
            role(&["rapidbyte:connector/source@3.0.0"]),
            Err(ComponentError::Contract { found }) if found == "3.0.0"
        ));
    }

    #[test]
    fn names_the_import_it_refuses() {
        let check = |import: &str| check_imports([import].into_iter());
        check("wasi:io/poll@0.2.6").unwrap();
        check("rapidbyte:connector/host-io@4.0.0").unwrap();
        for import in [
            "wasi:http/types@0.3.0",
            "wasi:http/incoming-handler@0.2.0",
            "wasi:io/poll@0.3.0",
            "wasi:nn/tensor",
            "rapidbyte:connector/source@4.0.0",
        ] {
            assert!(
                matches!(check(import), Err(ComponentError::Import { import: named }) if named == import)
            );
        }
    }

    #[test]
    fn tells_modules_and_noise_from_components() {
        assert!(matches!(inspect(b"\0asm\x01\0\0\0"), Err(ComponentError::CoreModule)));
        assert!(matches!(inspect(b"\0asm\x0d\0\x01\0"), Err(ComponentError::NoRole)));
        assert!(matches!(inspect(b"not wasm"), Err(ComponentError::NotWasm { .. })));
        assert!(matches!(inspect(b""), Err(ComponentError::NotWasm { .. })));
    }

    /// A section of a module or component.
    fn section(id: u8, body: &[u8]) -> Vec<u8> {
        [&[id, body.len() as u8], body].concat()
    }

    fn custom(name: &str, text: &str) -> Vec<u8> {
        section(0, &[&[name.len() as u8], name.as_bytes(), text.as_bytes()].concat())
    }

    #[test]
    fn finds_the_config_schema_inside() {
        let module = [b"\0asm\x01\0\0\0".to_vec(), custom(CONFIG_SCHEMA_SECTION, "{}")].concat();
        assert_eq!(config_schema(&module).unwrap().as_deref(), Some("{}"));
        let component = [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module)].concat();
        assert_eq!(config_schema(&component).unwrap().as_deref(), Some("{}"));
        // The manifest is the component's own; one of a module inside is none.
        let module = [b"\0asm\x01\0\0\0".to_vec(), custom(MANIFEST_SECTION, "{}")].concat();
        let component = [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module)].concat();
        assert_eq!(manifest_section(&component).unwrap(), None);
    }

    #[test]
    fn finds_the_manifest_where_it_stands() {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        let start = component.len();
        component.extend(custom(MANIFEST_SECTION, "{}"));
        let end = component.len();
        component.extend_from_slice(&[0, 2, 1, b'x']);
        assert_eq!(manifest_section(&component).unwrap(), Some(start..end));
    }
}
