//! The configuration as users write it.

use rapidbyte_sdk::prelude::*;
use serde::Deserialize;

/// Where to write files and how.
#[derive(Debug, Clone, Deserialize, ConfigSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder to write to; it is made if it is missing. Relative to the pipeline's file.
    pub path: String,
    /// How records are written.
    #[serde(default)]
    pub format: Format,
    /// How Parquet is compressed; `snappy` unless set.
    pub compression: Option<Compression>,
    /// What stands between the fields of CSV, one ASCII character; a comma unless set.
    pub delimiter: Option<char>,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ConfigSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    #[default]
    Parquet,
    Csv,
    Jsonl,
}

impl Format {
    /// The ending of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Csv => "csv",
            Format::Jsonl => "jsonl",
        }
    }
}

/// How Parquet is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ConfigSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    Snappy,
    None,
}

impl Config {
    pub fn check(&self) -> Result<(), ConnectorError> {
        if self.path.is_empty() {
            return Err(ConnectorError::config("path", "must not be empty"));
        }
        if self.compression.is_some() && self.format != Format::Parquet {
            return Err(ConnectorError::config("compression", "only Parquet has it"));
        }
        if let Some(delimiter) = self.delimiter {
            if self.format != Format::Csv {
                return Err(ConnectorError::config("delimiter", "only CSV has it"));
            }
            if !delimiter.is_ascii() || matches!(delimiter, '"' | '\n' | '\r' | '\0') {
                let message = "must be one ASCII character and neither a quote nor a line end";
                return Err(ConnectorError::config("delimiter", message));
            }
        }
        Ok(())
    }
}
