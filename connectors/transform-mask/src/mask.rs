//! The masked values of a column. NULL stays NULL, whatever is done.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, LargeStringArray, StringArray, StringViewArray};
use arrow_schema::{DataType, Field};
use hmac::{Hmac, KeyInit, Mac};
use rapidbyte_text::{TextColumn, UnsupportedType};
use sha2::Sha256;

const HEX_DIGITS: usize = 64;

/// HMAC-SHA256 with one key.
pub struct Hasher(Hmac<Sha256>);

impl Hasher {
    pub fn new(key: &str) -> Self {
        Hasher(match Hmac::new_from_slice(key.as_bytes()) {
            Ok(hmac) => hmac,
            // HMAC takes keys of any length.
            Err(_) => unreachable!("a key of any length is a key"),
        })
    }

    fn hex(&self, text: &str) -> [u8; HEX_DIGITS] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut mac = self.0.clone();
        mac.update(text.as_bytes());
        let mut out = [0; HEX_DIGITS];
        for (pair, byte) in out.chunks_exact_mut(2).zip(mac.finalize().into_bytes()) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        out
    }
}

/// The hash of each value's canonical text (see `rapidbyte-text`), as 64 lower-case hex digits.
pub fn hash(field: &Field, array: &ArrayRef, hasher: &Hasher) -> Result<ArrayRef, UnsupportedType> {
    let column = TextColumn::new(field, array)?;
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * HEX_DIGITS);
    let mut text = String::new();
    for row in 0..array.len() {
        if column.is_null(row) {
            out.append_null();
            continue;
        }
        text.clear();
        column.write(row, &mut text);
        let hex = hasher.hex(&text);
        out.append_option(std::str::from_utf8(&hex).ok());
    }
    Ok(Arc::new(out.finish()))
}

/// The same text for each value.
pub fn redact(array: &ArrayRef, replacement: &str) -> ArrayRef {
    let is_null_type = *array.data_type() == DataType::Null;
    let value = |row: usize| (!is_null_type && array.is_valid(row)).then_some(replacement);
    Arc::new((0..array.len()).map(value).collect::<StringArray>())
}

/// The first characters of each value of a text column.
pub fn truncate(array: &ArrayRef, length: usize) -> ArrayRef {
    fn cut(text: &str, length: usize) -> &str {
        text.char_indices().nth(length).map_or(text, |(end, _)| &text[..end])
    }
    let cut = |text: Option<_>| text.map(|text| cut(text, length));
    match array.data_type() {
        DataType::LargeUtf8 => {
            Arc::new(array.as_string::<i64>().iter().map(cut).collect::<LargeStringArray>())
        }
        DataType::Utf8View => Arc::new(array.as_string_view().iter().map(cut).collect::<StringViewArray>()),
        _ => Arc::new(array.as_string::<i32>().iter().map(cut).collect::<StringArray>()),
    }
}
