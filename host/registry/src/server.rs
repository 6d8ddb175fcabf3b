//! The port of registries over the distribution protocol. Where a server has no referrers API, referrers are found by the tag that
//! the specification provides for that, and by one tag for each referrer beside it: two writers at once may each overwrite
//! the other's list, but never the other's tag, so nothing that was published is ever lost.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::limits::{ENTRIES_MAX, MANIFEST_BYTES_MAX};
use rapidbyte_packages::oci::{Descriptor, INDEX_MEDIA_TYPE, Index, MANIFEST_MEDIA_TYPE, Manifest};
use rapidbyte_packages::registry::{Registry, RegistryError, Sink, Tag};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LINK};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use crate::auth::Credentials;
use crate::client::{Access, Client, Request, header};
use crate::limits::{ANSWER_BYTES_MAX, ATTEMPTS_MAX, BACKOFF, PAGES_MAX, TAGS_PER_PAGE};

const ACCEPT_MANIFESTS: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
const ACCEPT_INDEX: &str = INDEX_MEDIA_TYPE;
const SUBJECT: &str = "oci-subject";
/// What a registry says of a manifest whose blobs it does not find.
const BLOB_UNKNOWN: &str = "MANIFEST_BLOB_UNKNOWN";
/// Digits of a referrer's digest in its own tag.
const REFERRER_DIGITS: usize = 16;

/// How a registry is reached.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    pub credentials: Option<Credentials>,
    /// Certificates to trust besides the system's.
    pub roots_pem: Option<String>,
    /// Whether HTTP takes the place of HTTPS. None: for this machine alone.
    pub plain_http: Option<bool>,
}

/// A registry that is a server.
pub struct ServerRegistry {
    client: Client,
}

impl ServerRegistry {
    /// The registry on `host`, with a port or without. This machine is spoken to in plain HTTP unless that is ruled out.
    pub fn new(host: &str, options: &ServerOptions) -> Result<Self, RegistryError> {
        let name = format!("oci://{host}");
        let scheme =
            if options.plain_http.unwrap_or_else(|| is_this_machine(host)) { "http" } else { "https" };
        let base: Url = format!("{scheme}://{host}/").parse().map_err(|error| RegistryError::Refused {
            registry: name.clone(),
            message: format!("`{host}` is no address: {error}"),
        })?;
        let client = Client::new(name, base, options.credentials.clone(), options.roots_pem.as_deref())?;
        Ok(ServerRegistry { client })
    }

    /// Whether the credentials are accepted.
    pub async fn log_in(&self) -> Result<(), RegistryError> {
        let mut request = self.client.request(Method::GET, "", "", Access::Pull)?;
        request.url.set_path("/v2/");
        self.client.send(&request).await.map(drop)
    }

    fn missing(&self, what: String) -> RegistryError {
        RegistryError::NotFound { registry: self.client.name().to_owned(), what }
    }

    async fn get_manifest(
        &self,
        repository: &str,
        reference: &str,
        accept: &'static str,
    ) -> Result<Option<(Option<String>, Vec<u8>)>, RegistryError> {
        let path = format!("manifests/{reference}");
        let mut request = self.client.request(Method::GET, repository, &path, Access::Pull)?;
        request.accept = Some(accept);
        let response = self.client.send(&request).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let media_type = header(response.headers(), CONTENT_TYPE.as_str());
        Ok(Some((media_type, self.client.bounded(response, "a manifest", MANIFEST_BYTES_MAX).await?)))
    }

    /// What the tag of the specification lists; nothing where there is none.
    async fn listed(&self, repository: &str, tag: &str) -> Result<Vec<Descriptor>, RegistryError> {
        match self.get_manifest(repository, tag, ACCEPT_INDEX).await? {
            None => Ok(Vec::new()),
            Some((_, bytes)) => match Index::read(&bytes) {
                Ok(index) => Ok(index.manifests),
                Err(error) => Err(RegistryError::malformed(self, "a list of referrers", &error)),
            },
        }
    }

    /// Referrers by their tags: the list, and what is tagged on its own.
    async fn referrers_by_tag(
        &self,
        repository: &str,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let tag = referrers_tag(subject);
        let mut found: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        for descriptor in self.listed(repository, &tag).await? {
            found.insert(descriptor.digest, descriptor);
        }
        let own = format!("{tag}.");
        for tag in self.tags(repository).await? {
            let Some(digits) = tag.strip_prefix(&own) else { continue };
            if found.keys().any(|digest| digest.hex().starts_with(digits)) {
                continue;
            }
            let Some((media_type, bytes)) = self.get_manifest(repository, &tag, ACCEPT_MANIFESTS).await?
            else {
                continue;
            };
            let media_type = media_type.unwrap_or_else(|| MANIFEST_MEDIA_TYPE.to_owned());
            if let Some(descriptor) = referrer(&media_type, &bytes, subject) {
                found.insert(descriptor.digest, descriptor);
            }
        }
        Ok(found.into_values().collect())
    }

    async fn put(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<bool, RegistryError> {
        let path = format!("manifests/{reference}");
        let mut request = self.client.request(Method::PUT, repository, &path, Access::Push)?;
        request.body = Some((media_type.to_owned(), Bytes::copy_from_slice(bytes)));
        let mut attempt = 1;
        let response = loop {
            match self.client.send(&request).await {
                // Its blobs were put there before. Debian's registry writes what leads to a blob anew in place whenever somebody
                // puts the same one, and does not find it meanwhile.
                Err(RegistryError::Refused { message, .. })
                    if message.contains(BLOB_UNKNOWN) && attempt < ATTEMPTS_MAX =>
                {
                    tracing::info!(
                        message,
                        attempt,
                        "a registry does not find a blob that it has; it is asked again"
                    );
                    tokio::time::sleep(BACKOFF * 2u32.pow(attempt - 1)).await;
                    attempt += 1;
                }
                response => break response?,
            }
        };
        if response.status() == StatusCode::NOT_FOUND {
            return Err(self.missing(repository.to_owned()));
        }
        Ok(header(response.headers(), SUBJECT).is_some())
    }
}

#[async_trait]
impl Registry for ServerRegistry {
    fn name(&self) -> &str {
        self.client.name()
    }

    async fn repositories(&self) -> Result<Option<Vec<String>>, RegistryError> {
        #[derive(Deserialize)]
        struct Page {
            repositories: Option<Vec<String>>,
        }
        let mut request = self.client.request(Method::GET, "", "", Access::Pull)?;
        request.url.set_path("/v2/_catalog");
        request.url.query_pairs_mut().append_pair("n", &TAGS_PER_PAGE.to_string());
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let response = match self.client.send(&request).await {
                Ok(response) if response.status() == StatusCode::NOT_FOUND => return Ok(None),
                Ok(response) => response,
                // Servers of many users tell nobody.
                Err(RegistryError::Unauthorized { .. } | RegistryError::Refused { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            let next = next_page(response.headers(), &request.url);
            let body = self.client.bounded(response, "a list of repositories", ANSWER_BYTES_MAX).await?;
            let page: Page = serde_json::from_slice(&body)
                .map_err(|error| self.client.malformed("a list of repositories", error.to_string()))?;
            all.extend(page.repositories.unwrap_or_default());
            if all.len() > ENTRIES_MAX {
                let message = format!("it has more than {ENTRIES_MAX}");
                return Err(self.client.malformed("a list of repositories", message));
            }
            match next {
                Some(next) if next.origin() == request.url.origin() => request.url = next,
                _ => return Ok(Some(all)),
            }
        }
        Ok(Some(all))
    }

    async fn tags(&self, repository: &str) -> Result<Vec<String>, RegistryError> {
        #[derive(Deserialize)]
        struct Page {
            /// Some servers say `null` of an empty repository.
            tags: Option<Vec<String>>,
        }
        let mut request = self.client.request(Method::GET, repository, "tags/list", Access::Pull)?;
        request.url.query_pairs_mut().append_pair("n", &TAGS_PER_PAGE.to_string());
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let response = self.client.send(&request).await?;
            if response.status() == StatusCode::NOT_FOUND {
                return Ok(all);
            }
            let next = next_page(response.headers(), &request.url);
            let body = self.client.bounded(response, "a list of tags", ANSWER_BYTES_MAX).await?;
            let page: Page = serde_json::from_slice(&body)
                .map_err(|error| self.client.malformed("a list of tags", error.to_string()))?;
            all.extend(page.tags.unwrap_or_default());
            if all.len() > ENTRIES_MAX {
                return Err(self
                    .client
                    .malformed("a list of tags", format!("it has more than {ENTRIES_MAX}")));
            }
            match next {
                None => return Ok(all),
                Some(next) if next.origin() == request.url.origin() => request.url = next,
                Some(_) => return Err(self.client.refused("its list of tags goes on elsewhere".to_owned())),
            }
        }
        Err(self.client.malformed("a list of tags", format!("it has more than {PAGES_MAX} pages")))
    }

    async fn resolve(&self, repository: &str, tag: &str) -> Result<Option<Descriptor>, RegistryError> {
        // What a `HEAD` claims could be anything; the manifest is small.
        let Some((media_type, bytes)) = self.get_manifest(repository, tag, ACCEPT_MANIFESTS).await? else {
            return Ok(None);
        };
        Ok(Some(Descriptor::of(media_type.as_deref().unwrap_or(MANIFEST_MEDIA_TYPE), &bytes)))
    }

    async fn manifest_bytes(&self, repository: &str, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
        let found = self.get_manifest(repository, &digest.to_string(), ACCEPT_MANIFESTS).await?;
        found.map(|(_, bytes)| bytes).ok_or_else(|| self.missing(format!("{repository}@{digest}")))
    }

    async fn blob_bytes(
        &self,
        repository: &str,
        descriptor: &Descriptor,
        sink: &mut Sink<'_>,
    ) -> Result<(), RegistryError> {
        let path = format!("blobs/{}", descriptor.digest);
        let mut request = self.client.request(Method::GET, repository, &path, Access::Pull)?;
        let mut attempt = 1;
        let mut received: u64 = 0;
        loop {
            request.from = received;
            let mut response = self.client.send(&request).await?;
            if response.status() == StatusCode::NOT_FOUND {
                return Err(self.missing(format!("{repository}@{}", descriptor.digest)));
            }
            // A server that cannot go on in the middle begins anew.
            let mut skip = if response.status() == StatusCode::PARTIAL_CONTENT { 0 } else { received };
            let broken = loop {
                match response.chunk().await {
                    Ok(None) if received >= descriptor.size => return Ok(()),
                    Ok(None) => {
                        break RegistryError::Unreachable {
                            registry: self.name().to_owned(),
                            message: format!(
                                "it ended `{}` after {received} bytes of {}",
                                descriptor.digest, descriptor.size
                            ),
                        };
                    }
                    Ok(Some(chunk)) => {
                        let known = skip.min(chunk.len() as u64);
                        skip -= known;
                        let new = &chunk[known as usize..];
                        sink(new).map_err(|source| RegistryError::Blob {
                            registry: self.name().to_owned(),
                            source,
                        })?;
                        received += new.len() as u64;
                    }
                    Err(error) => break self.client.unreachable(&error),
                }
            };
            if attempt >= ATTEMPTS_MAX {
                return Err(broken);
            }
            tracing::info!(error = %broken, attempt, received, "a download broke off; it goes on");
            tokio::time::sleep(BACKOFF * 2u32.pow(attempt - 1)).await;
            attempt += 1;
        }
    }

    async fn referrers(&self, repository: &str, subject: &Digest) -> Result<Vec<Descriptor>, RegistryError> {
        let path = format!("referrers/{subject}");
        let mut request = self.client.request(Method::GET, repository, &path, Access::Pull)?;
        request.accept = Some(ACCEPT_INDEX);
        let response = self.client.send(&request).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return self.referrers_by_tag(repository, subject).await;
        }
        let bytes = self.client.bounded(response, "a list of referrers", MANIFEST_BYTES_MAX).await?;
        let index = Index::read(&bytes)
            .map_err(|error| RegistryError::malformed(self, "a list of referrers", &error))?;
        Ok(index.manifests)
    }

    async fn has_blob(&self, repository: &str, descriptor: &Descriptor) -> Result<bool, RegistryError> {
        let path = format!("blobs/{}", descriptor.digest);
        let request = self.client.request(Method::HEAD, repository, &path, Access::Pull)?;
        let response = self.client.send(&request).await?;
        let length =
            header(response.headers(), CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
        Ok(response.status() == StatusCode::OK && length.is_none_or(|length: u64| length == descriptor.size))
    }

    async fn put_blob(
        &self,
        repository: &str,
        descriptor: &Descriptor,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        if self.has_blob(repository, descriptor).await? {
            return Ok(());
        }
        let begin = self.client.request(Method::POST, repository, "blobs/uploads/", Access::Push)?;
        let response = self.client.send(&begin).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Err(self.missing(repository.to_owned()));
        }
        let mut url = self.client.location(&response)?;
        url.query_pairs_mut().append_pair("digest", &descriptor.digest.to_string());
        let body = Some(("application/octet-stream".to_owned(), Bytes::copy_from_slice(bytes)));
        let finish = Request { method: Method::PUT, url, body, ..begin };
        self.client.send(&finish).await.map(drop)
    }

    async fn put_manifest(
        &self,
        repository: &str,
        tag: Option<Tag<'_>>,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Descriptor, RegistryError> {
        let mut descriptor = Descriptor::of(media_type, bytes);
        let manifest = Manifest::read(bytes).ok();
        descriptor.artifact_type = manifest.as_ref().and_then(|manifest| manifest.artifact_type.clone());
        if let Some(tag) = tag.filter(|tag| !tag.moves)
            && let Some(found) = self.resolve(repository, tag.name).await?
            && found.digest != descriptor.digest
        {
            return Err(RegistryError::TagTaken {
                registry: self.name().to_owned(),
                repository: repository.to_owned(),
                tag: tag.name.to_owned(),
                found: found.digest,
            });
        }
        let reference = tag.map_or_else(|| descriptor.digest.to_string(), |tag| tag.name.to_owned());
        let linked = self.put(repository, &reference, media_type, bytes).await?;
        if let Some(subject) = manifest.and_then(|manifest| manifest.subject).filter(|_| !linked) {
            let list = referrers_tag(&subject.digest);
            let own: String = descriptor.digest.hex().chars().take(REFERRER_DIGITS).collect();
            self.put(repository, &format!("{list}.{own}"), media_type, bytes).await?;
            let all = self.referrers_by_tag(repository, &subject.digest).await?;
            self.put(repository, &list, INDEX_MEDIA_TYPE, &Index::new(all).bytes()).await?;
        }
        Ok(descriptor)
    }
}

/// The tag that the specification provides where there is no referrers API.
fn referrers_tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// A manifest as an entry in the list of those that are about `subject`; none if it is not.
fn referrer(media_type: &str, bytes: &[u8], subject: &Digest) -> Option<Descriptor> {
    let manifest = Manifest::read(bytes).ok()?;
    (manifest.subject?.digest == *subject).then(|| Descriptor {
        artifact_type: manifest.artifact_type,
        annotations: manifest.annotations,
        ..Descriptor::of(media_type, bytes)
    })
}

/// `<…>; rel="next"`.
fn next_page(headers: &reqwest::header::HeaderMap, from: &Url) -> Option<Url> {
    let link = header(headers, LINK.as_str())?;
    let (target, rest) = link.strip_prefix('<')?.split_once('>')?;
    rest.contains("next").then(|| from.join(target).ok()).flatten()
}

/// Whether a host is this machine, whatever its port.
pub fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_plain_http() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "[::1]"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["registry.example", "10.0.0.1:5000", "localhost.example", "128.0.0.1"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
