//! An answer, taken as a whole.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use serde::de::DeserializeOwned;

use crate::error::{ConnectorError, ErrorScope};

/// A server's answer with its whole body.
#[derive(Debug, Clone)]
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Response {
    pub(super) fn new(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Response { status, headers, body }
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// A header's value, if it is there and is text. Upper and lower case of the name are the same.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// The body as text; what is no UTF-8 in it is replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `data`, naming the path to what does not fit; never the value, which may be personal.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ConnectorError> {
        let mut reader = serde_json::Deserializer::from_slice(&self.body);
        let bad = |message: String| {
            ConnectorError::data("http_bad_json", message).with_scope(ErrorScope::PerStream)
        };
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let error = error.into_inner();
            let what = crate::config::without_values(&error.to_string());
            bad(format!("the answer is not the JSON that was expected, at `{path}`: {what}"))
        })?;
        reader.end().map_err(|_| bad("the answer has something behind its JSON".to_owned()))?;
        Ok(value)
    }
}
