//! What a component is made of, in bytes: code by the crate it comes from, data, names, the rest. For an author who
//! wonders why a connector is large.

use std::collections::BTreeMap;

use rapidbyte_core::limits::COMPONENT_BYTES_MAX;
use wasmparser::{KnownCustom, Name, NameSectionReader, Parser, Payload};

use crate::component::{ComponentError, malformed};

/// Code of functions without a Rust name: C, the adapter, what the compiler makes up.
pub const NOT_RUST: &str = "(not Rust)";
/// Code of modules that were stripped of their names.
pub const UNNAMED: &str = "(without names)";

/// The sizes of a component's parts; together its whole size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composition {
    /// Code, the largest crate first. A generic function counts for the crate that defines it.
    pub crates: Vec<CrateSize>,
    /// Constants: texts, tables.
    pub data_bytes: u64,
    /// Names of functions. They cost disk, no memory, and make the backtrace of a trap readable.
    pub names_bytes: u64,
    /// Manifest, config schema and other custom sections.
    pub custom_bytes: u64,
    /// Types, imports, exports, tables.
    pub other_bytes: u64,
}

/// How much code one crate brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrateSize {
    pub name: String,
    pub bytes: u64,
    pub functions: u64,
}

impl Composition {
    pub fn code_bytes(&self) -> u64 {
        self.crates.iter().map(|size| size.bytes).sum()
    }
}

/// One core module while it is read.
#[derive(Default)]
struct Module {
    imported: u32,
    bodies: Vec<u64>,
    names: BTreeMap<u32, String>,
}

/// Takes a component apart.
pub fn composition(bytes: &[u8]) -> Result<Composition, ComponentError> {
    if bytes.len() as u64 > COMPONENT_BYTES_MAX {
        return Err(ComponentError::TooLarge { bytes: bytes.len() as u64 });
    }
    let mut crates: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let (mut data_bytes, mut names_bytes, mut custom_bytes) = (0_u64, 0_u64, 0_u64);
    let mut open: Vec<Module> = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::Version { .. } => open.push(Module::default()),
            Payload::ImportSection(imports) => {
                let Some(module) = open.last_mut() else { continue };
                for import in imports.into_imports() {
                    if matches!(
                        import.map_err(malformed)?.ty,
                        wasmparser::TypeRef::Func(_) | wasmparser::TypeRef::FuncExact(_)
                    ) {
                        module.imported += 1;
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                if let Some(module) = open.last_mut() {
                    module.bodies.push(body.as_bytes().len() as u64);
                }
            }
            Payload::DataSection(section) => data_bytes += section.range().len() as u64,
            Payload::CustomSection(section) => {
                let size = section.range().len() as u64;
                match (section.as_known(), open.last_mut()) {
                    (KnownCustom::Name(names), Some(module)) => {
                        names_bytes += size;
                        function_names(names, &mut module.names);
                    }
                    _ => custom_bytes += size,
                }
            }
            Payload::End(_) => {
                if let Some(module) = open.pop() {
                    count(&module, &mut crates);
                }
            }
            _ => {}
        }
    }
    let mut crates: Vec<_> =
        crates.into_iter().map(|(name, (bytes, functions))| CrateSize { name, bytes, functions }).collect();
    crates.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    let mut composition = Composition { crates, data_bytes, names_bytes, custom_bytes, other_bytes: 0 };
    let known = composition.code_bytes() + data_bytes + names_bytes + custom_bytes;
    composition.other_bytes = (bytes.len() as u64).saturating_sub(known);
    Ok(composition)
}

/// Names are a help, not a need: what cannot be read is left out.
fn function_names(section: NameSectionReader<'_>, names: &mut BTreeMap<u32, String>) {
    for part in section.into_iter().flatten() {
        if let Name::Function(functions) = part {
            names
                .extend(functions.into_iter().flatten().map(|naming| (naming.index, naming.name.to_owned())));
        }
    }
}

fn count(module: &Module, crates: &mut BTreeMap<String, (u64, u64)>) {
    for (index, bytes) in (module.imported..).zip(&module.bodies) {
        let name = match module.names.get(&index) {
            Some(name) => crate_of(name),
            None => UNNAMED.to_owned(),
        };
        let (total, functions) = crates.entry(name).or_default();
        *total += bytes;
        *functions += 1;
    }
}

/// The crate of a function: the first name in its path, looking into `<T as Trait>::method` for the type.
fn crate_of(symbol: &str) -> String {
    let Ok(demangled) = rustc_demangle::try_demangle(symbol) else { return NOT_RUST.to_owned() };
    let path = format!("{demangled:#}");
    let mut rest = path.as_str();
    loop {
        let start = rest;
        rest = rest.trim_start_matches(['<', '&', '*', '[', '(', ' ']);
        for word in ["mut ", "const ", "dyn ", "impl ", "for"] {
            rest = rest.strip_prefix(word).unwrap_or(rest);
        }
        if rest.len() == start.len() {
            break;
        }
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let (name, behind) = rest.split_at(end);
    if !name.is_empty() && behind.starts_with("::") {
        return name.to_owned();
    }
    // `<[T] as core::fmt::Debug>`, `<u8 as …>`: the type belongs to no crate, so the trait's counts.
    match path.split_once(" as ") {
        Some((_, of_trait)) => {
            let end = of_trait.find("::").unwrap_or(0);
            if end == 0 { NOT_RUST.to_owned() } else { of_trait[..end].to_owned() }
        }
        None => NOT_RUST.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_belongs_to_a_crate() {
        for (symbol, name) in [
            ("_ZN4core3fmt5write17h0123456789abcdefE", "core"),
            (
                "_ZN58_$LT$alloc..string..String$u20$as$u20$core..fmt..Write$GT$9write_str17h0123456789abcdefE",
                "alloc",
            ),
            ("_ZN39_$LT$u8$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE", "core"),
            ("_RNvCs1234_7mycrate3foo", "mycrate"),
            ("memcpy", NOT_RUST),
            ("cabi_realloc", NOT_RUST),
        ] {
            assert_eq!(crate_of(symbol), name, "{symbol}");
        }
    }

    #[test]
    fn the_parts_are_the_whole() {
        // A module with one function of two bytes, nested in a component.
        let section = |id: u8, body: &[u8]| [&[id, body.len() as u8], body].concat();
        let mut names = vec![4, b'n', b'a', b'm', b'e'];
        let symbol = "_RNvCs1234_7mycrate3foo";
        let map = [&[1, 0, symbol.len() as u8], symbol.as_bytes()].concat();
        names.extend(section(1, &map));
        let module = [
            b"\0asm\x01\0\0\0".to_vec(),
            section(1, &[1, 0x60, 0, 0]),
            section(3, &[1, 0]),
            section(10, &[1, 2, 0, 0x0b]),
            section(0, &names),
        ]
        .concat();
        let component = [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module)].concat();
        let made_of = composition(&component).unwrap();
        assert_eq!(made_of.crates, [CrateSize { name: "mycrate".into(), bytes: 2, functions: 1 }]);
        assert!(made_of.names_bytes > 0);
        let all = made_of.code_bytes() + made_of.data_bytes + made_of.names_bytes;
        assert_eq!(all + made_of.custom_bytes + made_of.other_bytes, component.len() as u64);
        assert!(composition(b"noise").is_err());
    }
}
