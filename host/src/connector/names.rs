//! The names of functions in a component, which traps are explained by. A compiler's hashes in them are made of the folders
//! that crates lie in, so they are blanked: the same source gives the same bytes in any folder. Knows nothing else of code.

use std::ops::Range;

use wasmparser::{Parser, Payload};

/// What a hash in a name begins with: the length of what follows, and `h`.
const START: &[u8] = b"17h";
const HASH_BYTES: usize = 16;

/// Blanks every hash in the name sections of a component and of the modules in it. What is no component stays as it is:
/// others say so better.
pub fn blank_hashes(component: &mut [u8]) {
    let sections: Vec<Range<usize>> = Parser::new(0)
        .parse_all(component)
        .map_while(Result::ok)
        .filter_map(|payload| match payload {
            Payload::CustomSection(section) if section.name() == "name" => Some(section.range()),
            _ => None,
        })
        .collect();
    for section in sections {
        let Some(names) = component.get_mut(section) else { continue };
        let mut at = 0;
        while let Some(found) = names[at..].windows(START.len()).position(|window| window == START) {
            at += found + START.len();
            let end = at + HASH_BYTES;
            if names.get(end) == Some(&b'E') && names[at..end].iter().all(u8::is_ascii_hexdigit) {
                names[at..end].fill(b'0');
                at = end;
            }
        }
    }
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
        let mangled = |hash: &str| format!("_ZN6beside9is_object17h{hash}E");
        let (mut one, mut two) =
            (component(&mangled("0ccfd71dd4a94975")), component(&mangled("5730892a8226ddc1")));
        blank_hashes(&mut one);
        blank_hashes(&mut two);
        let text = String::from_utf8_lossy(&one).into_owned();
        assert!(text.contains("17h0000000000000000E"), "{text}");
        assert!(text.contains("17h0ccfd71dd4a94975E"), "what is no name stays: {text}");
        let changed = one.iter().zip(&two).filter(|(one, two)| one != two).count();
        assert!((1..=16).contains(&changed), "only the data differ: {changed}");

        for harmless in ["17h", "17hzzzzzzzzzzzzzzzzE", "17h0ccfd71dd4a94975", "x"] {
            let mut component = component(harmless);
            let before = component.clone();
            blank_hashes(&mut component);
            assert_eq!(component, before, "{harmless}");
        }
        let mut nonsense = b"17h0ccfd71dd4a94975E".to_vec();
        blank_hashes(&mut nonsense);
        assert_eq!(nonsense, b"17h0ccfd71dd4a94975E");
    }
}
