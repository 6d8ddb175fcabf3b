//! A request that is being put together, and sent: over a kept connection where there is one, within limits of silence and
//! size.

use std::fmt::Display;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use form_urlencoded::Serializer;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Uri};
use serde::Serialize;

use super::connection::{Connection, failed, lost};
use super::{HttpClient, Options, Response, header, status};
use crate::error::ConnectorError;

/// A request that is being put together. What is wrong with its parts is said by [`send`](Request::send).
#[must_use = "nothing happens before it is sent"]
pub struct Request {
    client: HttpClient,
    method: Method,
    target: Target,
    query: Serializer<'static, String>,
    headers: HeaderMap,
    body: Bytes,
    wrong: Option<ConnectorError>,
}

enum Target {
    /// Below the client's URL.
    Path(String),
    /// On the client's server.
    Whole(Uri),
}

impl Request {
    pub(super) fn new(client: HttpClient, method: Method, path: &str) -> Self {
        Self::of(client, method, Target::Path(path.to_owned()))
    }

    /// One to a target that is known as a whole.
    pub(super) fn to(client: HttpClient, method: Method, target: Uri) -> Self {
        Self::of(client, method, Target::Whole(target))
    }

    fn of(client: HttpClient, method: Method, target: Target) -> Self {
        Request {
            client,
            method,
            target,
            query: Serializer::new(String::new()),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            wrong: None,
        }
    }

    /// Adds `name=value` to the query, encoded as it must be.
    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        self.query.append_pair(name, &value.to_string());
        self
    }

    /// Sends a header with this request, in place of one of that name.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match header(name, value) {
            Ok((name, value)) => drop(self.headers.insert(name, value)),
            Err(error) => self.wrong = self.wrong.or(Some(error)),
        }
        self
    }

    /// Sends a value as JSON.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => {
                self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                self.body(bytes)
            }
            Err(error) => {
                let error = ConnectorError::internal("http_bad_json", error.to_string());
                self.wrong = self.wrong.or(Some(error));
                self
            }
        }
    }

    /// Sends these bytes.
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        self.body = bytes.into();
        self
    }

    /// Sends it and takes the whole answer.
    ///
    /// # Errors
    /// Any status but success (2xx) is the error that it stands for; see [`crate::http`]. Silence longer than the client's
    /// idle timeout and a lost connection are `transient-network`, an answer larger than its limit is `data`.
    pub async fn send(self) -> Result<Response, ConnectorError> {
        let (what, response) = self.exchange().await?;
        if response.status().is_success() { Ok(response) } else { Err(status::error(&what, &response)) }
    }

    /// Like [`send`](Request::send), but any status is an answer: for an API where, say, 404 means "none".
    ///
    /// # Errors
    /// As for `send`, without those of the status.
    pub async fn send_any_status(self) -> Result<Response, ConnectorError> {
        Ok(self.exchange().await?.1)
    }

    /// The answer, and how messages call the request.
    async fn exchange(self) -> Result<(String, Response), ConnectorError> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        let options = self.client.options();
        let mut query = self.query;
        let query = query.finish();
        let target = match self.target {
            Target::Path(path) => options.base.target(&path, &query)?,
            Target::Whole(target) if query.is_empty() => target,
            Target::Whole(target) => {
                let mark = if target.query().is_some() { '&' } else { '?' };
                let target = format!("{target}{mark}{query}");
                target.parse().map_err(|error: hyper::http::uri::InvalidUri| {
                    ConnectorError::internal("http_bad_path", error.to_string())
                })?
            }
        };
        let what = format!("{} `{}`", self.method, options.base.shown(&target));
        let mut request = hyper::Request::new(Full::new(self.body));
        *request.uri_mut() = target;
        *request.headers_mut() = options.headers.clone();
        // Every one of its own in place of the client's of that name.
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let host = HeaderValue::try_from(&options.base.authority)
            .map_err(|error| ConnectorError::internal("http_bad_host", error.to_string()))?;
        request.headers_mut().entry(HOST).or_insert(host);
        *request.method_mut() = self.method;
        match send(&self.client, request).await {
            Ok(response) => Ok((what, response)),
            Err(error) => Err(error.context(what)),
        }
    }
}

/// Sends over a kept connection, or over a new one.
async fn send(client: &HttpClient, request: hyper::Request<Full<Bytes>>) -> Result<Response, ConnectorError> {
    let options = client.options();
    let kept = loop {
        let idle = client.idle().pop();
        match idle {
            Some(mut connection) => {
                if connection.is_ready().await {
                    break Some(connection);
                }
            }
            None => break None,
        }
    };
    let idempotent = request.method().is_idempotent();
    if let Some(mut connection) = kept {
        match in_time(options.idle_timeout, connection.send(request.clone())).await? {
            Ok(answer) => return take(client, connection, answer).await,
            // The server may have closed it just now. What it may have done already is not asked for again.
            Err(error) if error.is_canceled() || (idempotent && lost(&error)) => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    let mut connection = Connection::open(options).await?;
    let answer = in_time(options.idle_timeout, connection.send(request)).await?;
    take(client, connection, answer.map_err(|error| failed(&error))?).await
}

/// Takes the rest of an answer and keeps the connection for the next request.
async fn take(
    client: &HttpClient,
    connection: Connection,
    answer: hyper::Response<Incoming>,
) -> Result<Response, ConnectorError> {
    let (head, body) = answer.into_parts();
    if head.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        let error = ConnectorError::data("http_encoded", "the answer is compressed, which was not asked for");
        return Err(error.with_scope(crate::ErrorScope::PerStream));
    }
    let body = collect(client.options(), &head.headers, body).await?;
    if connection.is_open() {
        client.idle().push(connection);
    }
    Ok(Response::new(head.status, head.headers, body))
}

async fn collect(
    options: &Options,
    headers: &HeaderMap,
    mut body: Incoming,
) -> Result<Bytes, ConnectorError> {
    let too_large = || {
        let message = format!(
            "the answer has more than {} bytes: ask for smaller pages, or raise the client's limit",
            options.body_bytes_max
        );
        ConnectorError::data("http_body_too_large", message).with_scope(crate::ErrorScope::PerStream)
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > options.body_bytes_max as u64) && !body.is_end_stream() {
        return Err(too_large());
    }
    let mut collected = Vec::new();
    loop {
        let next = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        match in_time(options.idle_timeout, next).await? {
            None => return Ok(collected.into()),
            Some(Err(error)) => return Err(failed(&error)),
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else { continue };
                if data.len() > options.body_bytes_max - collected.len() {
                    return Err(too_large());
                }
                collected.extend_from_slice(data);
            }
        }
    }
}

/// Waits for the server, but not for ever.
async fn in_time<T>(timeout: Duration, waiting: impl Future<Output = T>) -> Result<T, ConnectorError> {
    tokio::time::timeout(timeout, waiting).await.map_err(|_| {
        ConnectorError::transient_network("http_timeout", format!("the server was silent for {timeout:?}"))
    })
}
