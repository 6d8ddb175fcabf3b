//! The manifest as a custom section of a component file: appended by the build, found again without reading the code
//! before it, because start-up time is counted in milliseconds.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use rapidbyte_pipeline::limits::MANIFEST_BYTES_MAX;
use rapidbyte_pipeline::manifest::MANIFEST_SECTION;
use rapidbyte_wasm::component::CONFIG_SCHEMA_SECTION;
use wasm_encoder::{CustomSection, Encode};

/// Magic and version of the binary format; the version's upper half tells components from modules.
const HEADER: [u8; 8] = [0x00, b'a', b's', b'm', 0x0d, 0x00, 0x01, 0x00];
const CUSTOM: u8 = 0;

/// The component with the manifest behind its code.
pub fn with_manifest(component: &[u8], manifest_json: &str) -> Vec<u8> {
    with_section(component, MANIFEST_SECTION, manifest_json)
}

/// The component with its config schema behind its code, where the code does not bring it.
pub fn with_config_schema(component: &[u8], schema_json: &str) -> Vec<u8> {
    with_section(component, CONFIG_SCHEMA_SECTION, schema_json)
}

fn with_section(component: &[u8], name: &str, text: &str) -> Vec<u8> {
    let mut described = component.to_vec();
    described.push(CUSTOM);
    CustomSection { name: name.into(), data: text.as_bytes().into() }.encode(&mut described);
    described
}

/// The manifest in a component file; none if it has none, or is no component.
pub fn manifest_of(path: &Path) -> io::Result<Option<String>> {
    let mut file = BufReader::new(File::open(path)?);
    let mut header = [0; HEADER.len()];
    match file.read_exact(&mut header) {
        Ok(()) if header == HEADER => {}
        Ok(()) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    loop {
        let mut id = [0];
        if file.read(&mut id)? == 0 {
            return Ok(None);
        }
        let Some(size) = leb128(&mut file)? else { return Ok(None) };
        if id[0] != CUSTOM || size > (MANIFEST_BYTES_MAX + MANIFEST_SECTION.len() + 8) as u64 {
            file.seek_relative(i64::try_from(size).unwrap_or(i64::MAX))?;
            continue;
        }
        let mut section = vec![0; size as usize];
        if file.read_exact(&mut section).is_err() {
            return Ok(None);
        }
        let mut rest = section.as_slice();
        let Some(name_length) = leb128(&mut rest)? else { continue };
        let Some((name, data)) = rest.split_at_checked(name_length as usize) else { continue };
        if name == MANIFEST_SECTION.as_bytes() {
            return Ok(String::from_utf8(data.to_vec()).ok());
        }
    }
}

/// A 32-bit number of the binary format; none where there is none.
fn leb128(from: &mut impl Read) -> io::Result<Option<u64>> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let mut byte = [0];
        if from.read(&mut byte)? == 0 {
            return Ok(None);
        }
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        manifest_of(file.path()).unwrap()
    }

    #[test]
    fn what_was_appended_is_found_behind_other_sections() {
        let mut component = HEADER.to_vec();
        component.push(CUSTOM);
        CustomSection { name: "other".into(), data: vec![7; 300].into() }.encode(&mut component);
        let described = with_manifest(&component, r#"{"name":"source-x"}"#);
        assert_eq!(read(&described).as_deref(), Some(r#"{"name":"source-x"}"#));
        assert_eq!(read(&component), None);
    }

    #[test]
    fn rubbish_has_no_manifest() {
        let described = with_manifest(&HEADER, "{}");
        for length in 0..described.len() {
            assert_eq!(read(&described[..length]), None, "cut at {length}");
        }
        assert_eq!(read(b"\0asm\x01\0\0\0"), None, "a module is no component");
        let mut lying = HEADER.to_vec();
        lying.extend([CUSTOM, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(read(&lying), None);
    }
}
