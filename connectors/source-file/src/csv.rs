//! CSV records from bytes, by RFC 4180 with PostgreSQL's distinction: a quoted field is never NULL. It knows bytes, lines and
//! fields, and nothing of types.

use std::io::{self, Read};

use crate::limits::READ_BYTES;

/// Why reading cannot go on. Lines count from 1.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("line {line}: the record has more than {max} bytes")]
    TooLarge { line: u64, max: u64 },
    #[error("line {line}: a quoted field is not closed before the file ends")]
    OpenQuote { line: u64 },
    #[error("line {line}: field {field} goes on behind its closing quote")]
    TextBehindQuote { line: u64, field: usize },
}

/// One record: the text of its fields without quotes, end to end.
#[derive(Debug, Default)]
pub struct Record {
    data: Vec<u8>,
    /// Where each field ends in `data`, and whether it was quoted.
    ends: Vec<(usize, bool)>,
    /// Line of its first byte.
    pub line: u64,
}

impl Record {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// A field's bytes, and whether it was quoted.
    pub fn field(&self, index: usize) -> Option<(&[u8], bool)> {
        let (end, quoted) = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before].0);
        Some((&self.data[start..end], quoted))
    }

    pub fn bytes(&self) -> u64 {
        self.data.len() as u64
    }

    fn clear(&mut self) {
        self.data.clear();
        self.ends.clear();
    }
}

enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// Behind a quote inside a quoted field: it closed the field or is one half of a doubled quote.
    QuoteInQuoted,
}

/// Reads records one by one with bounded memory.
pub struct CsvReader<R> {
    input: R,
    buffer: Vec<u8>,
    position: usize,
    filled: usize,
    line: u64,
    delimiter: u8,
    quote: u8,
    record_bytes_max: u64,
}

impl<R: Read> CsvReader<R> {
    pub fn new(input: R, delimiter: u8, quote: u8, record_bytes_max: u64) -> io::Result<Self> {
        let buffer = vec![0; READ_BYTES];
        let mut reader =
            CsvReader { input, buffer, position: 0, filled: 0, line: 1, delimiter, quote, record_bytes_max };
        // A byte-order mark is no part of the first name. Three bytes may come in several reads.
        while reader.filled < 3 {
            let count = reader.input.read(&mut reader.buffer[reader.filled..])?;
            if count == 0 {
                break;
            }
            reader.filled += count;
        }
        if reader.buffer[..reader.filled].starts_with(b"\xef\xbb\xbf") {
            reader.position = 3;
        }
        Ok(reader)
    }

    /// The next record; false at the end. A line without a byte is a record with one empty field: whether it counts is the
    /// caller's to say.
    pub fn read(&mut self, record: &mut Record) -> Result<bool, CsvError> {
        record.clear();
        record.line = self.line;
        let mut state = State::FieldStart;
        let mut quoted = false;
        let mut any = false;
        loop {
            if self.position == self.filled {
                self.position = 0;
                self.filled = self.input.read(&mut self.buffer)?;
                if self.filled == 0 {
                    return self.finish(record, &state, quoted, any);
                }
            }
            any = true;
            let bytes = &self.buffer[self.position..self.filled];
            match state {
                State::FieldStart if bytes[0] == self.quote => {
                    quoted = true;
                    state = State::Quoted;
                    self.position += 1;
                }
                State::FieldStart => state = State::Unquoted,
                State::Unquoted => {
                    let delimiter = self.delimiter;
                    let run = bytes.iter().position(|byte| *byte == delimiter || *byte == b'\n');
                    let taken = run.unwrap_or(bytes.len());
                    record.data.extend_from_slice(&bytes[..taken]);
                    self.position += taken;
                    if run.is_some() {
                        let is_line_end = bytes[taken] == b'\n';
                        self.position += 1;
                        if is_line_end {
                            self.line += 1;
                            end_line(record);
                            return self.check_size(record);
                        }
                        record.ends.push((record.data.len(), false));
                        state = State::FieldStart;
                    }
                }
                State::Quoted => {
                    let quote = self.quote;
                    let run = bytes.iter().position(|byte| *byte == quote);
                    let taken = run.unwrap_or(bytes.len());
                    record.data.extend_from_slice(&bytes[..taken]);
                    self.line += bytes[..taken].iter().filter(|byte| **byte == b'\n').count() as u64;
                    self.position += taken;
                    if run.is_some() {
                        self.position += 1;
                        state = State::QuoteInQuoted;
                    }
                }
                State::QuoteInQuoted => {
                    let byte = bytes[0];
                    self.position += 1;
                    if byte == self.quote {
                        record.data.push(byte);
                        state = State::Quoted;
                    } else if byte == self.delimiter {
                        record.ends.push((record.data.len(), true));
                        quoted = false;
                        state = State::FieldStart;
                    } else if byte == b'\n' {
                        self.line += 1;
                        record.ends.push((record.data.len(), true));
                        return self.check_size(record);
                    } else if byte != b'\r' {
                        return Err(CsvError::TextBehindQuote {
                            line: self.line,
                            field: record.ends.len() + 1,
                        });
                    }
                }
            }
            if record.bytes() > self.record_bytes_max {
                return Err(CsvError::TooLarge { line: record.line, max: self.record_bytes_max });
            }
        }
    }

    fn check_size(&self, record: &Record) -> Result<bool, CsvError> {
        if record.bytes() > self.record_bytes_max {
            return Err(CsvError::TooLarge { line: record.line, max: self.record_bytes_max });
        }
        Ok(true)
    }

    /// The file ended: a last line needs no line end.
    fn finish(&self, record: &mut Record, state: &State, quoted: bool, any: bool) -> Result<bool, CsvError> {
        match state {
            State::Quoted => return Err(CsvError::OpenQuote { line: record.line }),
            State::FieldStart if !any => return Ok(false),
            State::FieldStart | State::QuoteInQuoted => record.ends.push((record.data.len(), quoted)),
            State::Unquoted => end_line(record),
        }
        self.check_size(record)
    }
}

/// Ends an unquoted field at the end of its line, which may have a carriage return.
fn end_line(record: &mut Record) {
    let start = record.ends.last().map_or(0, |(end, _)| *end);
    if record.data.len() > start && record.data.ends_with(b"\r") {
        record.data.pop();
    }
    record.ends.push((record.data.len(), false));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, so that every place is a buffer's end.
    struct Slowly<'a>(&'a [u8]);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            buffer[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn records(reader: &mut CsvReader<impl Read>) -> Result<Vec<(u64, Vec<String>)>, CsvError> {
        let mut record = Record::default();
        let mut all = Vec::new();
        while reader.read(&mut record)? {
            let fields = (0..record.len())
                .map(|index| {
                    let (bytes, quoted) = record.field(index).unwrap();
                    let text = String::from_utf8(bytes.to_vec()).unwrap();
                    if quoted { format!("<{text}>") } else { text }
                })
                .collect();
            all.push((record.line, fields));
        }
        Ok(all)
    }

    #[track_caller]
    fn check(text: &str, expected: &[(u64, &[&str])]) {
        let expected: Vec<(u64, Vec<String>)> = expected
            .iter()
            .map(|(line, fields)| (*line, fields.iter().map(|field| (*field).into()).collect()))
            .collect();
        let mut whole = CsvReader::new(text.as_bytes(), b',', b'"', 100).unwrap();
        assert_eq!(records(&mut whole).unwrap(), expected);
        let mut slow = CsvReader::new(Slowly(text.as_bytes()), b',', b'"', 100).unwrap();
        assert_eq!(records(&mut slow).unwrap(), expected, "byte by byte");
    }

    #[test]
    fn fields_quotes_and_lines() {
        check("", &[]);
        check("a,b\n1,2\n", &[(1, &["a", "b"]), (2, &["1", "2"])]);
        check("a,b\r\n1,2", &[(1, &["a", "b"]), (2, &["1", "2"])]);
        check("a,\"b\r\nc\",\"\"\nd,,\n", &[(1, &["a", "<b\r\nc>", "<>"]), (3, &["d", "", ""])]);
        check("\"a\"\"b\",\"c\"\r\n\"d\"", &[(1, &["<a\"b>", "<c>"]), (2, &["<d>"])]);
        check("a\"b,c\n", &[(1, &["a\"b", "c"])]);
        check("a\n\nb\n", &[(1, &["a"]), (2, &[""]), (3, &["b"])]);
        check("a,", &[(1, &["a", ""])]);
        check("\r\n", &[(1, &[""])]);
        check("\u{feff}a,é\n", &[(1, &["a", "é"])]);
        check("\u{feff}\"a\"\n", &[(1, &["<a>"])]);
        check("\u{feff}", &[]);
    }

    #[test]
    fn errors_name_the_line() {
        let error = |text: &str| {
            let mut reader = CsvReader::new(text.as_bytes(), b',', b'"', 10).unwrap();
            records(&mut reader).unwrap_err().to_string()
        };
        assert_eq!(error("a\n\"b\n\n"), "line 2: a quoted field is not closed before the file ends");
        assert_eq!(error("a\nb,\"c\"d\n"), "line 2: field 2 goes on behind its closing quote");
        assert_eq!(error("a\n12345678901\n"), "line 2: the record has more than 10 bytes");
        assert_eq!(error("a\n\"12345\n678901\"\n"), "line 2: the record has more than 10 bytes");
    }

    #[test]
    fn memory_is_bounded_before_a_record_ends() {
        let endless = io::repeat(b'x');
        let mut reader = CsvReader::new(endless, b',', b'"', 1_000).unwrap();
        assert!(matches!(reader.read(&mut Record::default()), Err(CsvError::TooLarge { line: 1, .. })));
    }
}
