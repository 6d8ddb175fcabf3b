//! Requests to one registry: authorised as it asks for, tried again where that may help, every answer bounded.
//!
//! Redirects are followed for blobs alone, without credentials, never from HTTPS to HTTP; anything else that leads elsewhere is
//! refused, so that no server can make us talk to another in its name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rapidbyte_packages::registry::RegistryError;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RANGE, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use reqwest::{Method, Response, StatusCode, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

use crate::auth::{self, Challenge, Credentials};
use crate::limits::*;

/// What a request may do in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    Pull,
    Push,
}

/// A request that can be sent again.
#[derive(Clone)]
pub(crate) struct Request {
    pub method: Method,
    pub url: Url,
    pub repository: String,
    pub access: Access,
    pub accept: Option<&'static str>,
    pub body: Option<(String, Bytes)>,
    /// From this byte on.
    pub from: u64,
}

/// Talks to one registry.
pub(crate) struct Client {
    http: reqwest::Client,
    /// For messages.
    name: String,
    base: Url,
    credentials: Option<Credentials>,
    /// What the registry was last content with.
    granted: Mutex<HashMap<(String, Access), HeaderValue>>,
}

impl Client {
    pub fn new(
        name: String,
        base: Url,
        credentials: Option<Credentials>,
        extra_roots_pem: Option<&str>,
    ) -> Result<Self, RegistryError> {
        let refuse = |message: String| RegistryError::Refused { registry: name.clone(), message };
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(pem) = extra_roots_pem {
            let mut given = 0;
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate =
                    certificate.map_err(|error| refuse(format!("its CA file is not PEM: {error}")))?;
                roots.add(certificate).map_err(|error| refuse(format!("its CA file: {error}")))?;
                given += 1;
            }
            if given == 0 {
                return Err(refuse("its CA file holds no certificate".to_owned()));
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refuse(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent(concat!("rapidbyte/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| refuse(error.to_string()))?;
        Ok(Client { http, name, base, credentials, granted: Mutex::default() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A request to a place of the protocol: `/v2/acme/source-jira/tags/list`.
    pub fn request(
        &self,
        method: Method,
        repository: &str,
        path: &str,
        access: Access,
    ) -> Result<Request, RegistryError> {
        let url = self
            .base
            .join(&format!("/v2/{repository}/{path}"))
            .map_err(|error| self.refused(error.to_string()))?;
        let repository = repository.to_owned();
        Ok(Request { method, url, repository, access, accept: None, body: None, from: 0 })
    }

    /// Where a registry says to go on, which has to be the registry itself.
    pub fn location(&self, response: &Response) -> Result<Url, RegistryError> {
        let location = header(response.headers(), LOCATION.as_str())
            .ok_or_else(|| self.malformed("an upload", "it does not say where to".to_owned()))?;
        let url =
            response.url().join(&location).map_err(|error| self.malformed("an upload", error.to_string()))?;
        if url.origin() != self.base.origin() {
            return Err(self.refused(format!("it leads elsewhere, to `{}`", origin(&url))));
        }
        Ok(url)
    }

    /// Sends it, as often as may help; answers with success or `404`.
    pub async fn send(&self, request: &Request) -> Result<Response, RegistryError> {
        let mut attempt = 1;
        loop {
            let (error, wait) = match self.authorised(request).await {
                Ok(response) => match self.judge(request, response).await {
                    Ok(response) => return Ok(response),
                    Err(failure) => failure,
                },
                Err(error) => (error, None),
            };
            if attempt >= ATTEMPTS_MAX || !error.is_transient() {
                return Err(error);
            }
            let pause = wait.unwrap_or(BACKOFF * 2u32.pow(attempt - 1));
            tracing::info!(%error, ?pause, attempt, "a request to a registry failed; it is tried again");
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// Sends it once, answering a challenge if one comes.
    async fn authorised(&self, request: &Request) -> Result<Response, RegistryError> {
        let key = (request.repository.clone(), request.access);
        let known = self.granted.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let response = self.once(request, &request.url, known).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let challenge =
            header(response.headers(), WWW_AUTHENTICATE.as_str()).and_then(|text| Challenge::parse(&text));
        let authorization = match challenge {
            None => return Ok(response),
            Some(Challenge::Basic) => match &self.credentials {
                None => return Ok(response),
                Some(credentials) => secret_header(&credentials.basic()),
            },
            Some(Challenge::Bearer { realm, service, scope }) => {
                let actions = if request.access == Access::Push { "pull,push" } else { "pull" };
                let scope = scope.unwrap_or_else(|| format!("repository:{}:{actions}", request.repository));
                let token = self.token(&realm, service.as_deref(), &scope).await?;
                secret_header(&Zeroizing::new(format!("Bearer {}", token.as_str())))
            }
        };
        let Some(authorization) = authorization else {
            return Err(self.unauthorized("what it gave cannot be sent in a header".to_owned()));
        };
        let response = self.once(request, &request.url, Some(authorization.clone())).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            self.granted.lock().unwrap_or_else(PoisonError::into_inner).insert(key, authorization);
        }
        Ok(response)
    }

    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<Zeroizing<String>, RegistryError> {
        let url = auth::token_url(realm, service, scope)
            .ok_or_else(|| self.malformed("a challenge", format!("`{realm}` is no address")))?;
        // Credentials go to the token service, so it must be as safe to talk to as the registry itself.
        if self.is_downgrade(&url) {
            return Err(self.refused(format!("its token service `{}` is not reached by HTTPS", origin(&url))));
        }
        let mut request = self.http.get(url);
        if let Some(credentials) = &self.credentials {
            request = request.header(
                AUTHORIZATION,
                secret_header(&credentials.basic()).ok_or_else(|| {
                    self.unauthorized("user and password cannot be sent in a header".to_owned())
                })?,
            );
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let answer = self.bounded(response, "a token", ANSWER_BYTES_MAX).await?;
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(self.unauthorized(words(&answer, status)));
        }
        auth::token(&answer)
            .filter(|_| status.is_success())
            .ok_or_else(|| self.malformed("a token", words(&answer, status)))
    }

    /// Sends it once. Blobs may lie elsewhere.
    async fn once(
        &self,
        request: &Request,
        url: &Url,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, RegistryError> {
        let mut url = url.clone();
        let mut authorization = authorization;
        for _ in 0..=REDIRECTS_MAX {
            let mut sent = self.http.request(request.method.clone(), url.clone());
            if let Some(accept) = request.accept {
                sent = sent.header(ACCEPT, accept);
            }
            if let Some((media_type, body)) = &request.body {
                sent = sent.header(CONTENT_TYPE, media_type).body(body.clone());
            }
            if request.from > 0 {
                sent = sent.header(RANGE, format!("bytes={}-", request.from));
            }
            if let Some(authorization) = &authorization {
                sent = sent.header(AUTHORIZATION, authorization.clone());
            }
            let response = sent.send().await.map_err(|error| self.unreachable(&error))?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let to = header(response.headers(), LOCATION.as_str()).and_then(|to| url.join(&to).ok());
            let to = to.ok_or_else(|| self.malformed("a redirect", "it does not say where to".to_owned()))?;
            let is_blob = request.method == Method::GET && url.path().contains("/blobs/")
                || url.origin() != self.base.origin();
            if !is_blob || self.is_downgrade(&to) {
                return Err(self.refused(format!("it leads elsewhere, to `{}`", origin(&to))));
            }
            if to.origin() != self.base.origin() {
                authorization = None;
            }
            url = to;
        }
        Err(self.refused(format!("it redirects more than {REDIRECTS_MAX} times")))
    }

    /// Success and `404` go on; everything else is an error, with how long to wait before another attempt.
    async fn judge(
        &self,
        request: &Request,
        response: Response,
    ) -> Result<Response, (RegistryError, Option<Duration>)> {
        let status = response.status();
        if status.is_success() || status == StatusCode::NOT_FOUND {
            return Ok(response);
        }
        let wait = header(response.headers(), RETRY_AFTER.as_str())
            .and_then(|seconds| seconds.parse().ok())
            .map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
        let answer = match self.bounded(response, "an error", ANSWER_BYTES_MAX).await {
            Ok(answer) => answer,
            Err(error) => return Err((error, wait)),
        };
        let message = words(&answer, status);
        let registry = self.name.clone();
        Err(match status {
            StatusCode::UNAUTHORIZED if self.credentials.is_none() => (
                RegistryError::Unauthorized { registry, message: format!("none are given; {message}") },
                None,
            ),
            StatusCode::UNAUTHORIZED => (RegistryError::Unauthorized { registry, message }, None),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                (RegistryError::Unreachable { registry, message }, wait)
            }
            status if status.is_server_error() => (RegistryError::Unreachable { registry, message }, wait),
            _ => {
                let message = format!("{} of `{}`: {message}", request.method, request.repository);
                (RegistryError::Refused { registry, message }, None)
            }
        })
    }

    /// A whole body, which may not be longer than this.
    pub async fn bounded(
        &self,
        mut response: Response,
        what: &'static str,
        bytes_max: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if (body.len() + chunk.len()) as u64 > bytes_max {
                return Err(self.malformed(what, format!("it is longer than {bytes_max} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// From HTTPS to something that anybody can listen to.
    fn is_downgrade(&self, to: &Url) -> bool {
        match to.scheme() {
            "https" => false,
            "http" => self.base.scheme() == "https",
            _ => true,
        }
    }

    pub fn unreachable(&self, error: &reqwest::Error) -> RegistryError {
        // The cause says more than `error sending request`, and no address with a token in it.
        let mut message = String::new();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
        while let Some(error) = cause {
            message = error.to_string();
            cause = error.source();
        }
        if message.is_empty() {
            message = if error.is_timeout() {
                "it does not answer in time".to_owned()
            } else {
                "the connection broke".to_owned()
            };
        }
        RegistryError::Unreachable { registry: self.name.clone(), message }
    }

    pub fn malformed(&self, what: &'static str, message: String) -> RegistryError {
        RegistryError::Malformed { registry: self.name.clone(), what, message }
    }

    pub fn refused(&self, message: String) -> RegistryError {
        RegistryError::Refused { registry: self.name.clone(), message }
    }

    fn unauthorized(&self, message: String) -> RegistryError {
        RegistryError::Unauthorized { registry: self.name.clone(), message }
    }
}

/// A header's text.
pub(crate) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn secret_header(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Where an address leads, without its path and query, which may hold a token.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// A registry's own words: the messages of its error document, or the status.
fn words(answer: &[u8], status: StatusCode) -> String {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<OneError>,
    }
    #[derive(serde::Deserialize)]
    struct OneError {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let errors = serde_json::from_slice::<Errors>(answer).map(|answer| answer.errors).unwrap_or_default();
    let said: Vec<String> = errors.iter().map(|error| format!("{} {}", error.code, error.message)).collect();
    let text = match said.is_empty() {
        true => status.to_string(),
        false => format!("{status}: {}", said.join("; ")),
    };
    text.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect()
}
