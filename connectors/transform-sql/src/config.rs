//! The query as users write it.

use rapidbyte_sdk::prelude::*;
use serde::Deserialize;

use crate::query::Query;

/// Which query every batch goes through.
#[derive(Deserialize, ConfigSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `SELECT … FROM input WHERE …`: expressions and a filter, row by row.
    pub query: String,
}

impl Config {
    /// Refuses what no stream can make right.
    pub fn parse(&self) -> Result<Query, ConnectorError> {
        Query::parse(&self.query).map_err(|message| ConnectorError::config("query", message))
    }
}
