//! An HTTP/1.1 client for REST connectors, over the host's sockets: the host resolves names, checks grants and ends TLS, so
//! a connector can reach what its manifest and the pipeline name and nothing else. It knows requests and answers and
//! nothing of what they mean. Behind the feature `http`.
//!
//! ```
//! use rapidbyte_sdk::http::HttpClient;
//! use rapidbyte_sdk::prelude::*;
//!
//! #[derive(serde::Deserialize)]
//! struct Issue {
//!     id: i64,
//! }
//!
//! async fn issues(url: &str, token: &str) -> Result<Vec<Issue>, ConnectorError> {
//!     let api = HttpClient::new(url)?.with_bearer_token(token)?;
//!     let answer = api.get("issues").query("page", 1).send().await?;
//!     answer.json()
//! }
//! # rapidbyte_sdk::testing::block_on(async {
//! #     use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
//! #     let url = format!("http://{}/v1", listener.local_addr().unwrap());
//! #     tokio::spawn(async move {
//! #         let (mut peer, _) = listener.accept().await.unwrap();
//! #         let mut head = [0; 1024];
//! #         let _ = peer.read(&mut head).await.unwrap();
//! #         peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n[{\"id\":7}]").await.unwrap();
//! #     });
//! #     assert_eq!(issues(&url, "secret").await.unwrap()[0].id, 7);
//! # });
//! ```
//!
//! `send` answers only success; everything else is the [`ConnectorError`] that the status stands for:
//!
//! | status | category | retryable |
//! | --- | --- | --- |
//! | 401, 403, 407 | `auth` | no |
//! | 429 | `rate-limit`, with the time of `retry-after` | yes |
//! | 408, 425, 5xx but 501 and 505 | `transient-network`, with the time of `retry-after` | yes |
//! | 409, 413, 422 | `data` | no |
//! | all others, redirects among them | `config` | no |
//!
//! Redirects are not followed, because they lead where nothing was granted. Connections are kept and used again; one that
//! the server has closed meanwhile is replaced unseen. Answers are asked for uncompressed, so that recordings of them can be
//! read and their secrets masked.

mod base;
mod connection;
mod link;
mod request;
mod response;
mod status;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LINK, USER_AGENT,
};

use crate::error::ConnectorError;
use crate::limits;
use base::BaseUrl;
use connection::Connection;

pub use hyper::{Method, StatusCode};
pub use request::Request;
pub use response::Response;

/// A client of one API, which lives below one URL. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct HttpClient {
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Options {
    base: BaseUrl,
    headers: HeaderMap,
    idle_timeout: Duration,
    body_bytes_max: usize,
    roots_pem: Option<String>,
}

struct Shared {
    options: Options,
    idle: Mutex<Vec<Connection>>,
}

impl HttpClient {
    /// A client of what lies below `url`, usually the config's own key `url`: with `runtime_hosts: true` in the manifest the
    /// host grants its endpoint.
    ///
    /// # Errors
    /// `config`, naming the field `url`, if it is no plain `http://` or `https://` URL.
    pub fn new(url: &str) -> Result<Self, ConnectorError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let agent = concat!("rapidbyte-sdk/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        Ok(Self::of(Options {
            base: BaseUrl::parse(url)?,
            headers,
            idle_timeout: limits::HTTP_IDLE_TIMEOUT,
            body_bytes_max: limits::HTTP_BODY_BYTES_MAX,
            roots_pem: None,
        }))
    }

    fn of(options: Options) -> Self {
        HttpClient { shared: Arc::new(Shared { options, idle: Mutex::default() }) }
    }

    /// Changed options are another client: what is connected already stays with the old one.
    fn with(&self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = self.shared.options.clone();
        change(&mut options);
        Self::of(options)
    }

    /// Sends a header with every request, in place of one of that name.
    ///
    /// # Errors
    /// `config` if name or value cannot stand in a request. The value is not repeated: it may be a secret.
    pub fn with_header(self, name: &str, value: &str) -> Result<Self, ConnectorError> {
        let (name, value) = header(name, value)?;
        Ok(self.with(|options| drop(options.headers.insert(name, value))))
    }

    /// Sends `authorization: Bearer …` with every request.
    ///
    /// # Errors
    /// `config` if the token has characters that cannot stand in a header.
    pub fn with_bearer_token(self, token: &str) -> Result<Self, ConnectorError> {
        self.with_header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    /// How long the server may be silent, while connecting, before its answer or within it; 30 s unless set.
    #[must_use]
    pub fn with_idle_timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.idle_timeout = timeout)
    }

    /// The largest answer in bytes, which is held in memory as a whole; 16 MB unless set.
    #[must_use]
    pub fn with_body_bytes_max(self, bytes: usize) -> Self {
        self.with(|options| options.body_bytes_max = bytes)
    }

    /// PEM certificates to trust instead of the system's.
    #[must_use]
    pub fn with_roots_pem(self, pem: impl Into<String>) -> Self {
        self.with(|options| options.roots_pem = Some(pem.into()))
    }

    /// Asks for what is at `path`, relative to the client's URL.
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// Sends something to `path`, relative to the client's URL.
    pub fn post(&self, path: &str) -> Request {
        self.request(Method::POST, path)
    }

    /// Asks for the next page, where the answer names it in its header `link` (RFC 8288, `rel="next"`) as GitHub and many
    /// others do; none after the last one.
    ///
    /// ```
    /// # use rapidbyte_sdk::{http::HttpClient, ConnectorError};
    /// # async fn all(api: HttpClient) -> Result<Vec<serde_json::Value>, ConnectorError> {
    /// let mut issues = Vec::new();
    /// let mut page = Some(api.get("issues").query("per_page", 100));
    /// while let Some(request) = page {
    ///     let answer = request.send().await?;
    ///     page = api.next_page(&answer)?;
    ///     issues.extend(answer.json::<Vec<serde_json::Value>>()?);
    /// }
    /// # Ok(issues)
    /// # }
    /// ```
    ///
    /// # Errors
    /// `config` if it leads to another server, which nobody has granted and which must not see this one's credentials.
    pub fn next_page(&self, answer: &Response) -> Result<Option<Request>, ConnectorError> {
        let next = answer.headers().get_all(LINK).iter();
        let next = next.filter_map(|value| value.to_str().ok()).find_map(|value| link::target(value, "next"));
        let request = |next| Ok(Request::to(self.clone(), Method::GET, self.options().base.beside(next)?));
        next.map(request).transpose()
    }

    /// Any method on `path`, relative to the client's URL: a leading `/` means nothing.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request::new(self.clone(), method, path)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.shared.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn options(&self) -> &Options {
        &self.shared.options
    }
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").field("url", &self.options().base.to_string()).finish_non_exhaustive()
    }
}

/// A header that can be sent.
fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), ConnectorError> {
    let bad = |what: &str| {
        let message = format!("header `{}`: {what}", name.escape_debug());
        ConnectorError::new(crate::ErrorCategory::Config, "http_bad_header", message)
    };
    let known = HeaderName::try_from(name).map_err(|_| bad("its name has characters that no header has"))?;
    let mut value =
        HeaderValue::try_from(value).map_err(|_| bad("its value has characters that no header has"))?;
    // Keeps it out of whatever prints headers.
    value.set_sensitive(known == AUTHORIZATION);
    Ok((known, value))
}
