//! `rapidbyte registry serve`: the distribution protocol over a folder, with the referrers API. What it keeps is the folder alone,
//! so it survives restarts and any tool that reads image layouts reads it. For a team's own network and for tests: no users,
//! no TLS, one process; whoever reaches it may write unless it was started read-only.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, LINK, LOCATION,
    RANGE,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rapidbyte_packages::digest::{Digest, Hasher};
use rapidbyte_packages::folder::FolderRegistry;
use rapidbyte_packages::limits::{COMPONENT_BYTES_MAX, ENTRIES_MAX, MANIFEST_BYTES_MAX};
use rapidbyte_packages::oci::{INDEX_MEDIA_TYPE, Index, MANIFEST_MEDIA_TYPE, Manifest};
use rapidbyte_packages::reference::is_repository;
use rapidbyte_packages::registry::{Registry, RegistryError, Tag};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Read from a file and sent at a time.
const CHUNK_BYTES: usize = 128 << 10;
/// Pieces of a file that wait to be sent.
const CHUNKS_WAITING: usize = 4;
/// A tag, by the distribution specification.
const TAG_CHARS_MAX: usize = 128;
/// Code for platforms can be larger than a component.
const BLOB_BYTES_MAX: u64 = 8 * COMPONENT_BYTES_MAX;
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const UPLOAD: HeaderName = HeaderName::from_static("docker-upload-uuid");
const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");
const UPLOADS: &str = ".uploads";

type Body = Either<Full<Bytes>, StreamBody<Chunks>>;
type Answer = Result<Response<Body>, Refusal>;

/// A registry that is being served.
pub struct RegistryServer {
    listener: TcpListener,
    state: Arc<State>,
}

struct State {
    registry: FolderRegistry,
    root: PathBuf,
    writable: bool,
}

/// What a request is refused with.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Refusal { status, code, message: message.into() }
    }

    fn unknown(code: &'static str, what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, format!("there is no `{what}`"))
    }

    fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", error.to_string())
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::NotFound { what, .. } => Refusal::unknown("MANIFEST_UNKNOWN", &what),
            other => Refusal::internal(other),
        }
    }
}

impl RegistryServer {
    /// Listens on `address`, over the folder `root`.
    pub async fn bind(address: SocketAddr, root: PathBuf, writable: bool) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let state = State { registry: FolderRegistry::new(&root), root, writable };
        Ok(RegistryServer { listener, state: Arc::new(state) })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers requests until it is dropped.
    pub async fn serve(self) -> io::Result<()> {
        loop {
            let (stream, _) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                // Whoever came is gone again, or there are too many files open: the next may come through.
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            };
            let state = self.state.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let state = state.clone();
                    async move { Ok::<_, Infallible>(state.answer(request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection broke");
                }
            });
        }
    }
}

/// What a path of the protocol asks for.
enum Place {
    Version,
    Blob { repository: String, digest: Digest },
    Uploads { repository: String },
    Upload { repository: String, id: String },
    Manifest { repository: String, reference: String },
    Tags { repository: String },
    Referrers { repository: String, subject: Digest },
}

impl Place {
    fn parse(path: &str) -> Result<Self, Refusal> {
        let nowhere = || Refusal::unknown("NAME_UNKNOWN", path);
        let rest = path.strip_prefix("/v2/").or_else(|| (path == "/v2").then_some("")).ok_or_else(nowhere)?;
        if rest.is_empty() {
            return Ok(Place::Version);
        }
        let parts: Vec<&str> = rest.split('/').collect();
        let digest = |text: &str| -> Result<Digest, Refusal> {
            text.parse()
                .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", format!("{error}")))
        };
        let (repository, place): (&[&str], _) = match parts.as_slice() {
            [repository @ .., "blobs", "uploads", ""] | [repository @ .., "blobs", "uploads"] => {
                (repository, Place::Uploads { repository: repository.join("/") })
            }
            [repository @ .., "blobs", "uploads", id] => {
                (repository, Place::Upload { repository: repository.join("/"), id: (*id).to_owned() })
            }
            [repository @ .., "blobs", text] => {
                (repository, Place::Blob { repository: repository.join("/"), digest: digest(text)? })
            }
            [repository @ .., "manifests", reference] => (
                repository,
                Place::Manifest { repository: repository.join("/"), reference: (*reference).to_owned() },
            ),
            [repository @ .., "tags", "list"] => {
                (repository, Place::Tags { repository: repository.join("/") })
            }
            [repository @ .., "referrers", text] => {
                (repository, Place::Referrers { repository: repository.join("/"), subject: digest(text)? })
            }
            _ => return Err(nowhere()),
        };
        let name = repository.join("/");
        match is_repository(&name) {
            true => Ok(place),
            false => Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "NAME_INVALID",
                format!("`{name}` is no repository"),
            )),
        }
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let is_head = request.method() == Method::HEAD;
        let answer = match self.dispatch(request).await {
            Ok(answer) => answer,
            Err(refusal) => {
                let error =
                    serde_json::json!({ "errors": [{ "code": refusal.code, "message": refusal.message }] });
                let mut answer = whole(refusal.status, error.to_string());
                answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                answer
            }
        };
        if !is_head {
            return answer;
        }
        let (parts, _) = answer.into_parts();
        Response::from_parts(parts, Either::Left(Full::default()))
    }

    async fn dispatch(&self, request: Request<Incoming>) -> Answer {
        let place = Place::parse(request.uri().path())?;
        let method = request.method().clone();
        let reads = matches!(method, Method::GET | Method::HEAD);
        if !reads && !self.writable {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "DENIED", "this registry is served read-only"));
        }
        match place {
            Place::Version if reads => Ok(whole(StatusCode::OK, "{}".to_owned())),
            Place::Blob { repository, digest } if reads => self.blob(&repository, &digest, &request),
            Place::Manifest { repository, reference } if reads => {
                self.manifest(&repository, &reference).await
            }
            Place::Tags { repository } if reads => self.tags(&repository, &request).await,
            Place::Referrers { repository, subject } if reads => {
                self.referrers(&repository, &subject, &request).await
            }
            Place::Uploads { repository } if method == Method::POST => {
                self.begin_upload(&repository, request).await
            }
            Place::Upload { repository, id } if method == Method::PATCH => {
                self.append(&repository, &id, request).await
            }
            Place::Upload { repository, id } if method == Method::PUT => {
                self.finish(&repository, &id, request).await
            }
            Place::Manifest { repository, reference } if method == Method::PUT => {
                self.put_manifest(&repository, &reference, request).await
            }
            _ => Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "UNSUPPORTED",
                format!("no `{method}` here"),
            )),
        }
    }

    fn blob(&self, repository: &str, digest: &Digest, request: &Request<Incoming>) -> Answer {
        let mut file = match File::open(self.registry.blob_path(repository, digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Refusal::unknown("BLOB_UNKNOWN", &digest.to_string()));
            }
            Err(error) => return Err(Refusal::internal(error)),
        };
        let bytes = file.metadata().map_err(Refusal::internal)?.len();
        let from = request.headers().get(RANGE).and_then(|range| range.to_str().ok()).and_then(range_start);
        let from = from.unwrap_or(0);
        if from > bytes {
            return Err(Refusal::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "SIZE_INVALID",
                format!("it has {bytes} bytes"),
            ));
        }
        file.seek(SeekFrom::Start(from)).map_err(Refusal::internal)?;
        let body = if request.method() == Method::HEAD {
            Either::Left(Full::default())
        } else {
            Either::Right(stream(file))
        };
        let mut answer = Response::new(body);
        let headers = answer.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes - from));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_DIGEST, text(&digest.to_string()));
        if from > 0 {
            headers.insert(CONTENT_RANGE, text(&format!("bytes {from}-{}/{bytes}", bytes.saturating_sub(1))));
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Ok(answer)
    }

    async fn manifest(&self, repository: &str, reference: &str) -> Answer {
        let digest = match reference.parse::<Digest>() {
            Ok(digest) => digest,
            Err(_) => match self.registry.resolve(repository, reference).await? {
                Some(descriptor) => descriptor.digest,
                None => {
                    return Err(Refusal::unknown("MANIFEST_UNKNOWN", &format!("{repository}:{reference}")));
                }
            },
        };
        let bytes = self.registry.manifest_bytes(repository, &digest).await?;
        // A manifest that is no image manifest is an index: nothing else was taken.
        let media_type = if Manifest::read(&bytes).is_ok() { MANIFEST_MEDIA_TYPE } else { INDEX_MEDIA_TYPE };
        let mut answer = whole(StatusCode::OK, bytes);
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        answer.headers_mut().insert(CONTENT_DIGEST, text(&digest.to_string()));
        Ok(answer)
    }

    async fn tags(&self, repository: &str, request: &Request<Incoming>) -> Answer {
        let mut tags = self.registry.tags(repository).await?;
        if tags.is_empty() && !self.root.join(repository).is_dir() {
            return Err(Refusal::unknown("NAME_UNKNOWN", repository));
        }
        tags.sort();
        let query = query(request);
        if let Some(last) = query.get("last") {
            tags.retain(|tag| tag > last);
        }
        let limit = query.get("n").and_then(|count| count.parse().ok()).unwrap_or(ENTRIES_MAX);
        let more = tags.len() > limit;
        tags.truncate(limit);
        let mut answer = json(&serde_json::json!({ "name": repository, "tags": tags }));
        if let (true, Some(last)) = (more, tags.last()) {
            let next = format!("</v2/{repository}/tags/list?n={limit}&last={last}>; rel=\"next\"");
            answer.headers_mut().insert(LINK, text(&next));
        }
        Ok(answer)
    }

    async fn referrers(&self, repository: &str, subject: &Digest, request: &Request<Incoming>) -> Answer {
        let mut found = self.registry.referrers(repository, subject).await?;
        let wanted = query(request).remove("artifactType");
        if let Some(wanted) = &wanted {
            found.retain(|descriptor| descriptor.artifact_type.as_ref() == Some(wanted));
        }
        let mut answer = whole(StatusCode::OK, Index::new(found).bytes());
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(INDEX_MEDIA_TYPE));
        if wanted.is_some() {
            answer.headers_mut().insert(FILTERS, HeaderValue::from_static("artifactType"));
        }
        Ok(answer)
    }

    async fn begin_upload(&self, repository: &str, request: Request<Incoming>) -> Answer {
        let folder = self.root.join(repository).join(UPLOADS);
        std::fs::create_dir_all(&folder).map_err(Refusal::internal)?;
        let file = tempfile::Builder::new().prefix("u").tempfile_in(&folder).map_err(Refusal::internal)?;
        let (_, path) = file.keep().map_err(Refusal::internal)?;
        let id = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if query(&request).contains_key("digest") {
            return self.finish(repository, &id, request).await;
        }
        Ok(self.upload_state(repository, &id, 0, StatusCode::ACCEPTED))
    }

    async fn append(&self, repository: &str, id: &str, request: Request<Incoming>) -> Answer {
        let bytes = self.receive(repository, id, request).await?;
        Ok(self.upload_state(repository, id, bytes, StatusCode::ACCEPTED))
    }

    async fn finish(&self, repository: &str, id: &str, request: Request<Incoming>) -> Answer {
        let digest = query(&request).remove("digest").unwrap_or_default();
        let digest: Digest = digest
            .parse()
            .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", format!("{error}")))?;
        self.receive(repository, id, request).await?;
        let path = self.upload_path(repository, id)?;
        let found = digest_of(&path).map_err(Refusal::internal)?;
        if found != digest {
            // It will not become right by more of it.
            let _ = std::fs::remove_file(&path);
            let message = format!("what came is `{found}`");
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message));
        }
        let place = self.registry.blob_path(repository, &digest);
        let keep = || {
            File::open(&path)?.sync_all()?;
            std::fs::create_dir_all(place.parent().unwrap_or(&self.root))?;
            std::fs::rename(&path, &place)
        };
        keep().map_err(Refusal::internal)?;
        let mut answer = whole(StatusCode::CREATED, Vec::new());
        answer.headers_mut().insert(LOCATION, text(&format!("/v2/{repository}/blobs/{digest}")));
        answer.headers_mut().insert(CONTENT_DIGEST, text(&digest.to_string()));
        Ok(answer)
    }

    /// Writes a request's body behind what an upload has; answers how long it is.
    async fn receive(&self, repository: &str, id: &str, request: Request<Incoming>) -> Result<u64, Refusal> {
        let path = self.upload_path(repository, id)?;
        let mut file = File::options()
            .append(true)
            .open(&path)
            .map_err(|_| Refusal::unknown("BLOB_UPLOAD_UNKNOWN", id))?;
        let mut bytes = file.metadata().map_err(Refusal::internal)?.len();
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                Refusal::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", error.to_string())
            })?;
            let Ok(chunk) = frame.into_data() else { continue };
            bytes += chunk.len() as u64;
            if bytes > BLOB_BYTES_MAX {
                let _ = std::fs::remove_file(&path);
                let message = format!("a blob has at most {BLOB_BYTES_MAX} bytes here");
                return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message));
            }
            file.write_all(&chunk).map_err(Refusal::internal)?;
        }
        Ok(bytes)
    }

    fn upload_path(&self, repository: &str, id: &str) -> Result<PathBuf, Refusal> {
        match !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric()) {
            true => Ok(self.root.join(repository).join(UPLOADS).join(id)),
            false => Err(Refusal::unknown("BLOB_UPLOAD_UNKNOWN", id)),
        }
    }

    fn upload_state(&self, repository: &str, id: &str, bytes: u64, status: StatusCode) -> Response<Body> {
        let mut answer = whole(status, Vec::new());
        let headers = answer.headers_mut();
        headers.insert(LOCATION, text(&format!("/v2/{repository}/blobs/uploads/{id}")));
        headers.insert(UPLOAD, text(id));
        headers.insert(RANGE, text(&format!("0-{}", bytes.saturating_sub(1))));
        answer
    }

    async fn put_manifest(&self, repository: &str, reference: &str, request: Request<Incoming>) -> Answer {
        let media_type =
            request.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let media_type = media_type.to_owned();
        let mut bytes = Vec::new();
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", error.to_string())
            })?;
            bytes.extend_from_slice(&frame.into_data().unwrap_or_default());
            if bytes.len() as u64 > MANIFEST_BYTES_MAX {
                let message = format!("a manifest has at most {MANIFEST_BYTES_MAX} bytes");
                return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message));
            }
        }
        let invalid = |message: String| Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", message);
        let mut subject = None;
        match media_type.as_str() {
            MANIFEST_MEDIA_TYPE => {
                let manifest = Manifest::read(&bytes).map_err(|error| invalid(error.to_string()))?;
                for needed in manifest.layers.iter().chain([&manifest.config]) {
                    if !self.registry.blob_path(repository, &needed.digest).is_file() {
                        let message = format!("the blob `{}` is not here", needed.digest);
                        return Err(Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", message));
                    }
                }
                subject = manifest.subject.map(|subject| subject.digest);
            }
            INDEX_MEDIA_TYPE => {
                Index::read(&bytes).map_err(|error| invalid(error.to_string()))?;
            }
            other => return Err(invalid(format!("`{other}` is not taken here"))),
        }
        let found = Digest::of(&bytes);
        let tag = match reference.parse::<Digest>() {
            Ok(digest) if digest == found => None,
            Ok(_) => {
                return Err(Refusal::new(
                    StatusCode::BAD_REQUEST,
                    "DIGEST_INVALID",
                    format!("what came is `{found}`"),
                ));
            }
            Err(_) if is_tag(reference) => Some(Tag { name: reference, moves: true }),
            Err(_) => {
                return Err(Refusal::new(
                    StatusCode::BAD_REQUEST,
                    "TAG_INVALID",
                    format!("`{reference}` is no tag"),
                ));
            }
        };
        self.registry.put_manifest(repository, tag, &media_type, &bytes).await?;
        let mut answer = whole(StatusCode::CREATED, Vec::new());
        answer.headers_mut().insert(LOCATION, text(&format!("/v2/{repository}/manifests/{found}")));
        answer.headers_mut().insert(CONTENT_DIGEST, text(&found.to_string()));
        if let Some(subject) = subject {
            answer.headers_mut().insert(SUBJECT, text(&subject.to_string()));
        }
        Ok(answer)
    }
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= TAG_CHARS_MAX
        && text.starts_with(word)
        && text.chars().all(|c| word(c) || c == '.' || c == '-')
}

/// `bytes=4-`
fn range_start(range: &str) -> Option<u64> {
    range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

fn query(request: &Request<Incoming>) -> std::collections::HashMap<String, String> {
    form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect()
}

fn digest_of(path: &std::path::Path) -> io::Result<Digest> {
    let mut hasher = Hasher::default();
    let mut file = File::open(path)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&chunk[..read]),
        }
    }
}

fn whole(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = status;
    answer
}

fn json(value: &serde_json::Value) -> Response<Body> {
    let mut answer = whole(StatusCode::OK, value.to_string());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// A header's value of what was checked to be plain text.
fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Pieces of a file, read by another thread as fast as they are taken.
pub struct Chunks(mpsc::Receiver<io::Result<Frame<Bytes>>>);

impl futures::Stream for Chunks {
    type Item = io::Result<Frame<Bytes>>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

fn stream(mut file: File) -> StreamBody<Chunks> {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let piece = match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => {
                    chunk.truncate(read);
                    Ok(Frame::data(Bytes::from(chunk)))
                }
                Err(error) => Err(error),
            };
            let failed = piece.is_err();
            // Whoever asked has hung up.
            if sender.blocking_send(piece).is_err() || failed {
                break;
            }
        }
    });
    StreamBody::new(Chunks(receiver))
}
