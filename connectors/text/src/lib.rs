//! Arrow values as text and back: one canonical text per value, so that a file written by one connector is read by another,
//! and a hash over the text is stable. It knows Arrow types and nothing of files, streams or connectors.
//!
//! | type | text |
//! | --- | --- |
//! | boolean | `true`, `false` |
//! | integers | decimal digits |
//! | floats | the shortest text that reads back as the same value (`1.5`, `1e300`); `NaN`, `Infinity`, `-Infinity` |
//! | decimals | digits with exactly `scale` decimals |
//! | text | itself |
//! | binary | `\x` and lower-case hex |
//! | uuid (`arrow.uuid`) | `8-4-4-4-12` lower-case hex |
//! | date | `2024-02-29`; the extremes of the type are `infinity` and `-infinity`, as PostgreSQL has them |
//! | time | `13:05:09.25`, the fraction only as long as it needs to be |
//! | timestamp | `2024-02-29T13:05:09.25`, with a zone in UTC and with `Z` |
//! | duration, interval | ISO 8601: `P1Y2M3DT4H5M6.7S` |
//! | list, struct, map | JSON |
//!
//! Years outside 0000 to 9999 carry a sign: `-0044-03-15`, `+12024-01-01`. The year before 0001 is 0000.

mod column;
mod glob;
mod json;
pub mod parse;
pub mod temporal;

pub use column::{TextColumn, UnsupportedType};
pub use glob::glob;
pub use json::{JsonError, minify, write_string};

/// Name of the extension type of a field, if it has one.
pub fn extension_name(field: &arrow_schema::Field) -> Option<&str> {
    field.metadata().get(EXTENSION_NAME).map(String::as_str)
}

/// Key of an extension type's name in a field's metadata.
pub const EXTENSION_NAME: &str = "ARROW:extension:name";
/// Key of an extension type's own metadata in a field's metadata.
pub const EXTENSION_METADATA: &str = "ARROW:extension:metadata";

/// JSON text in a `Utf8` column.
pub const EXTENSION_JSON: &str = "arrow.json";
/// A uuid in 16 bytes.
pub const EXTENSION_UUID: &str = "arrow.uuid";
/// PostgreSQL's numeric as exact text.
pub const EXTENSION_NUMERIC: &str = "rapidbyte.numeric";
