//! The remote API: what is asked and what is answered. CHANGE all of it; statuses, retries after a lost connection, limits
//! of size and silence are the client's.

use rapidbyte_sdk::http::HttpClient;
use rapidbyte_sdk::prelude::*;
use serde::Deserialize;

use crate::Config;

/// One record as the API has it.
#[derive(Debug, Deserialize)]
pub struct Issue {
    pub id: i64,
    pub title: String,
    pub state: String,
    pub points: Option<f64>,
    /// Rises with every new issue; no two have the same.
    pub seq: i64,
}

#[derive(Debug, Deserialize)]
pub struct Page {
    pub items: Vec<Issue>,
    pub has_more: bool,
}

/// The API with its credentials.
pub struct Api {
    http: HttpClient,
}

impl Api {
    pub fn new(config: &Config) -> Result<Self, ConnectorError> {
        let mut http = HttpClient::new(&config.url)?;
        if let Some(token) = &config.token {
            http = http.with_bearer_token(token)?;
        }
        Ok(Api { http })
    }

    /// The next issues behind `after`, in order of `seq`.
    pub async fn issues(&self, after: i64, limit: u64) -> Result<Page, ConnectorError> {
        self.http
            .get("issues")
            .query("after", after)
            .query("limit", limit)
            .send()
            .await?
            .json()
    }
}
