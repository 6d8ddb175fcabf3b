//! The names of functions in a component, which traps are explained by. A compiler's hashes in them are made of the folders
//! that crates lie in, so they are blanked: the same source gives the same bytes in any folder. Knows nothing else of code.

use wasm_encoder::Encode;
use wasmparser::{BinaryReader, Result};

/// What a hash in a name begins with: the length of what follows, and `h`.
const START: &str = "17h";
const HASH_BYTES: usize = 16;
/// What stands before the hash of the part of a crate that a function was taken out of, at a name's end.
const PART: &str = ".llvm.";

/// Which binary a section lies in: its number means something else in each.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    Module = 0,
    Component = 1,
}

const HEADER_BYTES: usize = 8;
/// In the header.
const LAYER_AT: usize = 6;
const CUSTOM_SECTION: u8 = 0;
/// In a component.
const CORE_MODULE_SECTION: u8 = 1;
const COMPONENT_SECTION: u8 = 4;
/// In a name section: the names of functions, types, tables, memories, globals, elements, data, tags.
const NAME_MAPS: [u8; 8] = [1, 4, 5, 6, 7, 8, 9, 11];

/// The component with every hash blanked in its name sections and in those of the modules in it. What is no component stays
/// as it is: others say so better.
pub fn blank_hashes(component: Vec<u8>) -> Vec<u8> {
    binary(&component).unwrap_or(component)
}

fn binary(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut reader = BinaryReader::new(bytes, 0);
    let header = reader.read_bytes(HEADER_BYTES)?;
    let layer = if header[LAYER_AT] == Layer::Component as u8 { Layer::Component } else { Layer::Module };
    let mut blanked = header.to_vec();
    while !reader.eof() {
        let id = reader.read_u8()?;
        let content = sized(&mut reader)?;
        let content = match (layer, id) {
            (_, CUSTOM_SECTION) => custom_section(content)?,
            (Layer::Component, CORE_MODULE_SECTION | COMPONENT_SECTION) => binary(content)?,
            _ => content.to_vec(),
        };
        blanked.push(id);
        content.encode(&mut blanked);
    }
    Ok(blanked)
}

fn custom_section(content: &[u8]) -> Result<Vec<u8>> {
    let mut reader = BinaryReader::new(content, 0);
    let name = reader.read_string()?;
    if name != "name" {
        return Ok(content.to_vec());
    }
    let mut blanked = Vec::with_capacity(content.len());
    name.encode(&mut blanked);
    while !reader.eof() {
        let id = reader.read_u8()?;
        let names = sized(&mut reader)?;
        blanked.push(id);
        match NAME_MAPS.contains(&id) {
            true => name_map(names)?.encode(&mut blanked),
            false => names.encode(&mut blanked),
        }
    }
    Ok(blanked)
}

/// Names by number.
fn name_map(content: &[u8]) -> Result<Vec<u8>> {
    let mut reader = BinaryReader::new(content, 0);
    let count = reader.read_var_u32()?;
    let mut blanked = Vec::with_capacity(content.len());
    count.encode(&mut blanked);
    for _ in 0..count {
        reader.read_var_u32()?.encode(&mut blanked);
        blank(reader.read_string()?).as_str().encode(&mut blanked);
    }
    Ok(blanked)
}

/// Bytes behind how many they are.
fn sized<'a>(reader: &mut BinaryReader<'a>) -> Result<&'a [u8]> {
    let bytes = reader.read_var_u32()?;
    reader.read_bytes(bytes as usize)
}

fn blank(name: &str) -> String {
    let name = match name.rsplit_once(PART) {
        Some((whole, hash)) if !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_digit()) => whole,
        _ => name,
    };
    let mut blanked = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(found) = rest.find(START) {
        let (before, after) = rest.split_at(found + START.len());
        blanked.push_str(before);
        rest = after;
        let hash = after.as_bytes();
        if hash.get(HASH_BYTES) == Some(&b'E') && hash[..HASH_BYTES].iter().all(u8::is_ascii_hexdigit) {
            blanked.push_str(&"0".repeat(HASH_BYTES));
            rest = &after[HASH_BYTES..];
        }
    }
    blanked + rest
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{Component, CustomSection, Module, ModuleSection, NameMap, NameSection};

    use super::*;

    /// A component with one module, whose function has this name and whose data say the same.
    fn component(name: &str) -> Vec<u8> {
        let mut functions = NameMap::new();
        functions.append(0, name);
        let mut names = NameSection::new();
        names.functions(&functions);
        let mut module = Module::new();
        module.section(&CustomSection { name: "data".into(), data: name.as_bytes().into() });
        module.section(&names);
        let mut component = Component::new();
        component.section(&ModuleSection(&module));
        component.finish()
    }

    #[test]
    fn hashes_in_names_are_blanked_and_nothing_else() {
        let mangled = |hash: &str, part: &str| format!("_ZN6beside9is_object17h{hash}E{part}");
        let one = blank_hashes(component(&mangled("0ccfd71dd4a94975", ".llvm.2176608742875165094")));
        let two = blank_hashes(component(&mangled("5730892a8226ddc1", ".llvm.60645681385859")));
        let names = |component: &[u8]| {
            let text = String::from_utf8_lossy(component).into_owned();
            let (data, names) = text.split_once("name").expect("a name section");
            assert!(data.contains(".llvm."), "what is no name stays: {data}");
            names.to_owned()
        };
        assert!(names(&one).contains("17h0000000000000000E"), "{}", names(&one));
        assert_eq!(names(&one), names(&two));
        assert!(wasmparser::validate(&one).is_ok());

        for harmless in ["17h", "17hzzzzzzzzzzzzzzzzE", "17h0ccfd71dd4a94975", "x", "x.llvm.", "x.llvm.1y"] {
            let before = component(harmless);
            assert_eq!(blank_hashes(before.clone()), before, "{harmless}");
        }
        let nonsense = b"17h0ccfd71dd4a94975E".to_vec();
        assert_eq!(blank_hashes(nonsense.clone()), nonsense);
    }
}
