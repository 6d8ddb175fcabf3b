//! The configuration as users write it, checked as far as it can be without looking at a file.

use std::collections::BTreeMap;

use arrow_schema::{DataType, TimeUnit};
use rapidbyte_sdk::prelude::*;
use serde::Deserialize;

use crate::columns::ColumnType;
use crate::limits;

/// Which files to read and how.
#[derive(Debug, Clone, Deserialize, ConfigSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A folder, or a single file. In a folder every file with a known ending is a stream, and so is every sub-folder with
    /// files of one format. Relative to the pipeline's file.
    pub path: String,
    /// How files are read; `auto` goes by their ending: `.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.parquet`.
    #[serde(default)]
    pub format: Format,
    /// Streams by name, where the layout of the folder does not say it. If there are any, no others are looked for.
    #[serde(default)]
    pub streams: Vec<StreamConfig>,
    /// How CSV files are written.
    #[serde(default)]
    pub csv: CsvOptions,
    /// Types of columns, by `column` for every stream or by `stream.column` for one: `boolean`, `int64`, `float64`,
    /// `decimal(p,s)`, `date`, `time`, `timestamp`, `timestamptz`, `utf8`, `json`. Other columns of CSV and JSON Lines are
    /// inferred.
    #[serde(default)]
    pub types: BTreeMap<String, String>,
    /// How many records of a stream are looked at to infer its types.
    #[config(default = 100000)]
    #[serde(default = "infer_rows_default")]
    pub infer_rows: u64,
}

/// One stream and its files.
#[derive(Debug, Clone, Deserialize, ConfigSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamConfig {
    /// Name of the stream.
    pub name: String,
    /// A file, a folder or a pattern with `*` and `?` in any of its parts, below `path`.
    pub files: String,
    /// How the files are read, if not as the rest.
    pub format: Option<Format>,
}

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ConfigSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    #[default]
    Auto,
    Csv,
    Jsonl,
    Parquet,
}

/// How CSV files are written.
#[derive(Debug, Clone, Deserialize, ConfigSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CsvOptions {
    /// What stands between fields, one ASCII character. A `.tsv` file has tabs unless this is set.
    pub delimiter: Option<char>,
    /// What stands around a field that holds delimiters or line ends, one ASCII character; doubled inside.
    #[config(default = "\"")]
    pub quote: char,
    /// Whether the first record names the columns. If not and `columns` is empty they are `column_1`, `column_2` and so on.
    #[config(default = true)]
    pub header: bool,
    /// Names of the columns of files without a header.
    pub columns: Vec<String>,
    /// Unquoted fields that mean NULL. A quoted field never does.
    pub null_values: Vec<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        CsvOptions {
            delimiter: None,
            quote: '"',
            header: true,
            columns: Vec::new(),
            null_values: vec![String::new()],
        }
    }
}

fn infer_rows_default() -> u64 {
    limits::INFER_ROWS_DEFAULT
}

impl Config {
    /// Refuses what no file can make right.
    pub fn check(&self) -> Result<(), ConnectorError> {
        if self.path.is_empty() {
            return Err(ConnectorError::config("path", "must not be empty"));
        }
        if self.infer_rows == 0 {
            return Err(ConnectorError::config("infer_rows", "must be at least 1"));
        }
        let quote = ascii("csv.quote", self.csv.quote)?;
        if let Some(delimiter) = self.csv.delimiter
            && ascii("csv.delimiter", delimiter)? == quote
        {
            return Err(ConnectorError::config("csv.delimiter", "must differ from `quote`"));
        }
        if self.csv.header && !self.csv.columns.is_empty() {
            return Err(ConnectorError::config(
                "csv.columns",
                "only for files without a header: set `header: false`",
            ));
        }
        for (column, word) in &self.types {
            if parse_type(word).is_none() {
                return Err(ConnectorError::config(
                    format!("types.{column}"),
                    format!("unknown type `{word}`"),
                ));
            }
        }
        for (index, stream) in self.streams.iter().enumerate() {
            if stream.name.is_empty() {
                return Err(ConnectorError::config(format!("streams[{index}].name"), "must not be empty"));
            }
            if self.streams[..index].iter().any(|other| other.name == stream.name) {
                let message = format!("two streams are named `{}`", stream.name);
                return Err(ConnectorError::config(format!("streams[{index}].name"), message));
            }
            if stream.files.is_empty() || stream.files.split('/').any(|part| part == ".." || part.is_empty())
            {
                let message = format!("`{}` is not a path below `path`", stream.files);
                return Err(ConnectorError::config(format!("streams[{index}].files"), message));
            }
        }
        Ok(())
    }

    /// The type that the user gave a column.
    pub fn type_of(&self, stream: &str, column: &str) -> Option<ColumnType> {
        let word = self.types.get(&format!("{stream}.{column}")).or_else(|| self.types.get(column))?;
        parse_type(word)
    }
}

fn ascii(field: &str, character: char) -> Result<u8, ConnectorError> {
    match u8::try_from(character) {
        Ok(byte) if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Ok(byte),
        _ => Err(ConnectorError::config(field, "must be one ASCII character and no line end")),
    }
}

/// A column's type by its word.
pub fn parse_type(word: &str) -> Option<ColumnType> {
    let word = word.trim().to_ascii_lowercase();
    let data_type = match word.as_str() {
        "boolean" | "bool" => DataType::Boolean,
        "int64" | "integer" | "bigint" => DataType::Int64,
        "float64" | "double" => DataType::Float64,
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "utf8" | "text" | "string" => DataType::Utf8,
        "json" => return Some(ColumnType::json()),
        decimal => {
            let arguments = decimal.strip_prefix("decimal(")?.strip_suffix(')')?;
            let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
            let (precision, scale) = (precision.trim().parse::<u8>().ok()?, scale.trim().parse::<i8>().ok()?);
            if !(1..=38).contains(&precision) || scale < 0 || scale.unsigned_abs() > precision {
                return None;
            }
            DataType::Decimal128(precision, scale)
        }
    };
    Some(ColumnType::given(data_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: serde_json::Value) -> Result<Config, ConnectorError> {
        let config: Config = rapidbyte_sdk::config::parse(&json.to_string())?;
        config.check()?;
        Ok(config)
    }

    #[test]
    fn defaults_are_those_of_the_schema() {
        let config = parse(serde_json::json!({ "path": "/data" })).unwrap();
        assert_eq!((config.format, config.infer_rows), (Format::Auto, limits::INFER_ROWS_DEFAULT));
        assert_eq!((config.csv.quote, config.csv.header), ('"', true));
        assert_eq!(config.csv.null_values, [""]);
    }

    #[test]
    fn csv_options_keep_their_other_defaults() {
        let config = parse(serde_json::json!({ "path": "/data", "csv": { "delimiter": ";" } })).unwrap();
        assert_eq!((config.csv.delimiter, config.csv.quote, config.csv.header), (Some(';'), '"', true));
        assert_eq!(config.csv.null_values, [""]);
    }

    #[test]
    fn refuses_by_field() {
        for (config, field) in [
            (serde_json::json!({}), "path"),
            (serde_json::json!({ "path": "" }), "path"),
            (serde_json::json!({ "path": "x", "pth": 1 }), "pth"),
            (serde_json::json!({ "path": "x", "format": "xml" }), "format"),
            (serde_json::json!({ "path": "x", "infer_rows": 0 }), "infer_rows"),
            (serde_json::json!({ "path": "x", "csv": { "delimiter": "é" } }), "csv.delimiter"),
            (serde_json::json!({ "path": "x", "csv": { "delimiter": "\"" } }), "csv.delimiter"),
            (serde_json::json!({ "path": "x", "csv": { "quote": "\n" } }), "csv.quote"),
            (serde_json::json!({ "path": "x", "csv": { "columns": ["a"] } }), "csv.columns"),
            (serde_json::json!({ "path": "x", "types": { "a": "decimal(40,2)" } }), "types.a"),
            (serde_json::json!({ "path": "x", "types": { "a": "varchar" } }), "types.a"),
            (
                serde_json::json!({ "path": "x", "streams": [{ "name": "a", "files": "../b" }] }),
                "streams[0].files",
            ),
            (
                serde_json::json!({ "path": "x", "streams": [{ "name": "a", "files": "/b" }] }),
                "streams[0].files",
            ),
            (
                serde_json::json!({ "path": "x", "streams": [{ "name": "a", "files": "b" }, { "name": "a", "files": "c" }] }),
                "streams[1].name",
            ),
        ] {
            let error = parse(config.clone()).unwrap_err();
            assert_eq!(error.category, ErrorCategory::Config, "{config}");
            assert!(error.message.contains(&format!("`{field}`")), "{config}: {}", error.message);
        }
    }

    #[test]
    fn types_are_found_by_stream_first() {
        let json = serde_json::json!({ "path": "x", "types": { "a": "utf8", "s.a": "decimal(12, 2)" } });
        let config = parse(json).unwrap();
        assert_eq!(config.type_of("s", "a").unwrap().data_type, DataType::Decimal128(12, 2));
        assert_eq!(config.type_of("t", "a").unwrap().data_type, DataType::Utf8);
        assert_eq!(config.type_of("t", "b"), None);
    }
}
