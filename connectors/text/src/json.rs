//! JSON as text: strings with their escapes, and documents without white space. It never goes through numbers, so none loses
//! a digit.

use serde_json::value::RawValue;

/// The text is not one JSON document.
#[derive(Debug)]
pub struct JsonError(serde_json::Error);

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not JSON: {}", self.0)
    }
}

impl std::error::Error for JsonError {}

/// Writes a JSON string.
pub fn write_string(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    let mut written = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "\\u00",
            _ => continue,
        };
        out.push_str(&text[written..index]);
        out.push_str(escape);
        if escape == "\\u00" {
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
        written = index + 1;
    }
    out.push_str(&text[written..]);
    out.push('"');
}

/// Writes a JSON document without the white space between its tokens, so that it fits a line.
pub fn minify(document: &str, out: &mut String) -> Result<(), JsonError> {
    let raw: &RawValue = serde_json::from_str(document).map_err(JsonError)?;
    let raw = raw.get();
    let (mut in_string, mut escaped, mut kept) = (false, false, 0);
    for (index, byte) in raw.bytes().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
        } else if byte == b'"' {
            in_string = true;
        } else if byte.is_ascii_whitespace() {
            out.push_str(&raw[kept..index]);
            kept = index + 1;
        }
    }
    out.push_str(&raw[kept..]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_read_back() {
        let every: String = (0..0x80).map(char::from).chain("é\u{2028}😀".chars()).collect();
        for text in ["", "plain", "\"\\\n", every.as_str()] {
            let mut out = String::new();
            write_string(text, &mut out);
            assert!(!out.contains('\n'));
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn documents_lose_white_space_and_nothing_else() {
        let mut out = String::new();
        minify(" { \"a b\" : [ 1.10 ,\n 123456789012345678901234567890 , \"x \\\" y\\\\\" ] }\n", &mut out)
            .unwrap();
        assert_eq!(out, r#"{"a b":[1.10,123456789012345678901234567890,"x \" y\\"]}"#);
        for text in ["", "{", "1 2", "nul"] {
            assert!(minify(text, &mut String::new()).is_err(), "{text}");
        }
    }
}
