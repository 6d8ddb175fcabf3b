//! JSON Lines: bounded lines from bytes, and the members of the object on a line without going through numbers. It knows
//! nothing of types.

use std::fmt;
use std::io::{self, Read};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::limits::READ_BYTES;

/// Why reading cannot go on. Lines count from 1.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("line {line}: the record has more than {max} bytes")]
    TooLarge { line: u64, max: u64 },
}

/// Reads lines one by one with bounded memory.
pub struct LineReader<R> {
    input: R,
    buffer: Vec<u8>,
    position: usize,
    filled: usize,
    line: u64,
    line_bytes_max: u64,
}

impl<R: Read> LineReader<R> {
    pub fn new(input: R, line_bytes_max: u64) -> Self {
        LineReader { input, buffer: vec![0; READ_BYTES], position: 0, filled: 0, line: 0, line_bytes_max }
    }

    /// The next line that is not blank, without its end, and its number.
    pub fn read(&mut self, line: &mut Vec<u8>) -> Result<Option<u64>, LineError> {
        loop {
            line.clear();
            let more = self.read_line(line)?;
            if line.ends_with(b"\r") {
                line.pop();
            }
            if self.line == 1 && line.starts_with(b"\xef\xbb\xbf") {
                line.drain(..3);
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(self.line));
            }
            if !more {
                return Ok(None);
            }
        }
    }

    /// One line; false at the end of the file.
    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<bool, LineError> {
        self.line += 1;
        loop {
            if self.position == self.filled {
                self.position = 0;
                self.filled = self.input.read(&mut self.buffer)?;
                if self.filled == 0 {
                    return Ok(false);
                }
            }
            let bytes = &self.buffer[self.position..self.filled];
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(bytes.len());
            line.extend_from_slice(&bytes[..taken]);
            self.position += taken + usize::from(end.is_some());
            if line.len() as u64 > self.line_bytes_max {
                return Err(LineError::TooLarge { line: self.line, max: self.line_bytes_max });
            }
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

/// Calls `member` with each key and the raw JSON of its value, in order. The error is serde's, or what `member` answered.
pub fn each_member<'a>(
    line: &'a str,
    member: impl FnMut(&str, &'a str) -> Result<(), String>,
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(line);
    Members(member).deserialize(&mut deserializer)?;
    deserializer.end()
}

struct Members<F>(F);

impl<'a, F: FnMut(&str, &'a str) -> Result<(), String>> DeserializeSeed<'a> for Members<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a, F: FnMut(&str, &'a str) -> Result<(), String>> Visitor<'a> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Key<'a>>()? {
            let value: &'a RawValue = map.next_value()?;
            (self.0)(&key.0, value.get()).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// A key, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(u64, String)> {
        let mut reader = LineReader::new(text.as_bytes(), 100);
        let mut line = Vec::new();
        let mut all = Vec::new();
        while let Some(number) = reader.read(&mut line).unwrap() {
            all.push((number, String::from_utf8(line.clone()).unwrap()));
        }
        all
    }

    #[test]
    fn lines_are_numbered_and_blank_ones_skipped() {
        assert_eq!(lines(""), []);
        assert_eq!(lines("\n \n"), []);
        assert_eq!(lines("{}\r\n\n{ }"), [(1, "{}".into()), (3, "{ }".into())]);
        assert_eq!(lines("\u{feff}{}\n"), [(1, "{}".into())]);
    }

    #[test]
    fn lines_are_bounded() {
        let mut reader = LineReader::new(io::repeat(b' '), 1_000);
        assert!(matches!(reader.read(&mut Vec::new()), Err(LineError::TooLarge { line: 1, max: 1_000 })));
    }

    #[test]
    fn members_come_raw_and_in_order() {
        let mut members = Vec::new();
        each_member(r#" {"b": 1.10, "a\n": [1, {"x":2}], "c":"\u00e9"} "#, |key, raw| {
            members.push((key.to_owned(), raw.to_owned()));
            Ok(())
        })
        .unwrap();
        let expected = [("b", "1.10"), ("a\n", r#"[1, {"x":2}]"#), ("c", r#""\u00e9""#)];
        assert_eq!(members, expected.map(|(key, raw)| (key.to_owned(), raw.to_owned())));
        for line in ["[1]", "{", "{} {}", "1", r#"{"a":}"#] {
            assert!(each_member(line, |_, _| Ok(())).is_err(), "{line}");
        }
        let error = each_member(r#"{"a":1}"#, |_, _| Err("no".into())).unwrap_err();
        assert!(error.to_string().starts_with("no"), "{error}");
    }
}
