//! HTTP for the exporters: requests on a runtime and a thread of their own, so that they neither need nor delay the run's,
//! each bounded in time, none beyond the end of the last flush.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError, Request, Response, ResponseBodyTooLarge};
use tokio::runtime::{Builder, Runtime};

use crate::limits::ANSWER_BYTES_MAX;

/// Shared by the exporters of one process.
#[derive(Clone)]
pub(crate) struct Client {
    shared: Arc<Shared>,
    timeout: Duration,
}

struct Shared {
    http: reqwest::Client,
    /// None once it was let go.
    runtime: Mutex<Option<Runtime>>,
    /// No request goes on behind it.
    deadline: Mutex<Option<Instant>>,
    /// Why the newest request that failed did.
    failure: Mutex<Option<String>>,
}

/// What requests are made with: the system's roots, one TLS stack, no redirects.
pub(crate) fn http() -> Result<reqwest::Client, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        // A redirect would take the headers, and with them tokens, elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("rapidbyte/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| error.to_string())
}

impl Client {
    pub fn new() -> Result<Self, String> {
        let http = http()?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("rapidbyte-otlp")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let shared = Shared {
            http,
            runtime: Mutex::new(Some(runtime)),
            deadline: Mutex::default(),
            failure: Mutex::default(),
        };
        Ok(Client { shared: Arc::new(shared), timeout: Duration::ZERO })
    }

    /// The same client for a signal with a time limit of its own.
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Client { shared: self.shared.clone(), timeout }
    }

    /// From here on no request goes on behind this moment.
    pub fn end_by(&self, deadline: Instant) {
        *lock(&self.shared.deadline) = Some(deadline);
    }

    /// Why the newest request that failed did.
    pub fn failure(&self) -> Option<String> {
        lock(&self.shared.failure).clone()
    }

    /// Lets go of whatever is still going on.
    pub fn let_go(&self) {
        if let Some(runtime) = lock(&self.shared.runtime).take() {
            runtime.shutdown_background();
        }
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let left =
            lock(&self.shared.deadline).map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map_or(self.timeout, |left| left.min(self.timeout));
        let (parts, body) = request.into_parts();
        let request = self
            .shared
            .http
            .request(parts.method, parts.uri.to_string())
            .headers(parts.headers)
            .timeout(timeout)
            .body(body);
        let sent = lock(&self.shared.runtime).as_ref().map(|runtime| {
            runtime.spawn(async move {
                let mut answer = request.send().await?;
                let mut response = Response::builder().status(answer.status());
                if let Some(headers) = response.headers_mut() {
                    headers.extend(answer.headers().clone());
                }
                let mut body = Vec::new();
                while let Some(chunk) = answer.chunk().await? {
                    if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                        return Err::<_, HttpError>(ResponseBodyTooLarge::new().into());
                    }
                    body.extend_from_slice(&chunk);
                }
                Ok(response.body(Bytes::from(body))?)
            })
        });
        match sent {
            Some(sent) => sent.await?,
            None => Err("the exporter has ended".into()),
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.send(request).await;
        let failure = match &answer {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answered {}", response.status())),
            Err(error) => Some(innermost(&**error)),
        };
        if failure.is_some() {
            *lock(&self.shared.failure) = failure;
        }
        answer
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// The error at the root: what is above only says that sending failed, and where to.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout) {
        return "it did not answer in time".to_owned();
    }
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
