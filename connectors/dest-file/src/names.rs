//! Names of streams and pipelines as names of files: readable, never a path, different names never the same file.

use std::fmt::Write;

use crate::limits;

/// Names that Windows keeps for devices, whatever their ending.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];

/// The name with everything unusual as `%xx`. Letters and digits of ASCII, `-`, `_` and `.` stand for themselves, but not a
/// dot or underscore at the front (hidden, or another program's own) nor a dot at the end. A name that gets too long ends in
/// a hash of the whole.
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let last = name.len().saturating_sub(1);
    let device = is_device(name);
    for (index, byte) in name.bytes().enumerate() {
        let plain = match byte {
            _ if device && index == 0 => false,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => true,
            b'_' => index > 0,
            b'.' => index > 0 && index < last,
            _ => false,
        };
        if plain {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02x}");
        }
    }
    if out.is_empty() {
        out.push('%');
    }
    if out.len() > limits::NAME_BYTES_MAX {
        out.truncate(limits::NAME_BYTES_MAX);
        let _ = write!(out, "~{:016x}", fnv1a(name));
    }
    out
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    let numbered = |device: &str| {
        stem.strip_prefix(device).is_some_and(|number| matches!(number.as_bytes(), [b'1'..=b'9']))
    };
    DEVICES.contains(&stem.as_str()) || NUMBERED_DEVICES.into_iter().any(numbered)
}

/// FNV-1a. Two streams of one hash would be found by the claim of the file's name, so it need not withstand an attacker.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_stay() {
        for name in ["orders", "public.orders", "Orders-2024_v2", "a.b.c", "console"] {
            assert_eq!(encode(name), name);
        }
    }

    #[test]
    fn unusual_names_are_escaped() {
        for (name, file) in [
            ("a/b", "a%2fb"),
            ("..", "%2e%2e"),
            ("../x", "%2e.%2fx"),
            (".hidden", "%2ehidden"),
            ("_rapidbyte", "%5frapidbyte"),
            ("end.", "end%2e"),
            ("a b", "a%20b"),
            ("50%", "50%25"),
            ("é", "%c3%a9"),
            ("a\0b\n", "a%00b%0a"),
            ("", "%"),
            ("con", "%63on"),
            ("NUL.x", "%4eUL.x"),
            ("com1", "%63om1"),
            ("a~b", "a%7eb"),
        ] {
            assert_eq!(encode(name), file, "{name:?}");
        }
    }

    #[test]
    fn different_names_are_different_files() {
        let mut names: Vec<String> =
            ["a", "a/", "a%2f", "%61", "%", "", ".", "..", "%2e"].map(str::to_owned).to_vec();
        let long = "é".repeat(100);
        names.extend([format!("{long}1"), format!("{long}2"), long]);
        let mut files: Vec<String> = names.iter().map(|name| encode(name)).collect();
        assert!(files.iter().all(|file| file.len() <= limits::NAME_BYTES_MAX + 17 && !file.contains('/')));
        files.sort();
        files.dedup();
        assert_eq!(files.len(), names.len());
    }
}
