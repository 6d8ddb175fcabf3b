//! `wasi:http`, outgoing: the requests of guests whose language brings its own HTTP client. Each goes out over a connection
//! like those of `host-io`, so the same grants, the same check of addresses, the same TLS and the same cassettes hold, and
//! a guest that follows a redirect asks for a second connection, which is checked as the first was.
//!
//! Refuses to know: retries, redirects, cookies, proxies, anything but HTTP/1.1.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1;
use hyper::http::header::{CONNECTION, HeaderValue};
use hyper::http::uri::{PathAndQuery, Scheme, Uri};
use hyper::{Request, Response};
use rapidbyte_core::grants::Grants;
use rapidbyte_core::ports::Services;
use rapidbyte_core::{ConnectorError, ConnectorRole, ErrorCategory};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, timeout};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::{Fault, point};
use crate::activity::Activity;
use crate::faults::{Bent, Doom, FaultPlan, Import, strike, was_reset};
use crate::limits::{HTTP_BODY_BYTES_MAX, HTTP_CONNECT_TIMEOUT_MS, HTTP_REQUESTS_MAX, HTTP_SILENCE_SECONDS};
use crate::network::{self, Network, Socket, TlsOptions, Verification};
use crate::report::Reporter;
use crate::store::HostState;

/// What `wasi:http` keeps for one instance.
pub struct Http {
    ctx: WasiHttpCtx,
    hooks: Gate,
}

/// Whom a request goes out for, and how.
pub struct Outgoing {
    /// The connector's name and version.
    pub id: Arc<str>,
    pub role: ConnectorRole,
    pub grants: Arc<Grants>,
    pub network: Arc<dyn Network>,
    pub services: Arc<dyn Services>,
    pub reporter: Arc<Reporter>,
    pub activity: Arc<Activity>,
    pub faults: Option<Arc<FaultPlan>>,
    pub doom: Arc<Doom>,
}

impl Http {
    pub fn new(outgoing: Outgoing) -> Self {
        let hooks =
            Gate { outgoing: Arc::new(outgoing), requests: Arc::new(Semaphore::new(HTTP_REQUESTS_MAX)) };
        Http { ctx: WasiHttpCtx::new(), hooks }
    }
}

impl WasiHttpView for HostState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let Http { ctx, hooks } = &mut self.http;
        WasiHttpCtxView { hooks, table: &mut self.table, ctx }
    }
}

struct Gate {
    outgoing: Arc<Outgoing>,
    requests: Arc<Semaphore>,
}

type Done<T> = Result<T, Error>;
type Rest = Box<dyn Future<Output = Done<()>> + Send>;
type Answer = Box<dyn Future<Output = Done<(Response<WasiBody>, Rest)>> + Send>;

impl WasiHttpHooks for Gate {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Done<()>> + Send>,
    ) -> Answer {
        let state = self.outgoing.clone();
        state.services.reached(point!(state, "http-request"));
        state.activity.touch();
        state.activity.wait();
        let permit = self.requests.clone().try_acquire_owned();
        Box::new(async move {
            let permit = permit.map_err(|_| Error::ConnectionLimitReached)?;
            let sent = state.send(request, options.unwrap_or_default(), permit).await;
            if let Err(error) = &sent {
                // Clients tell their program little more than that it failed.
                state.reporter.output_line(&format!("http request failed: {error}"));
            }
            sent
        })
    }
}

impl Outgoing {
    async fn send(
        &self,
        mut request: Request<WasiBody>,
        options: RequestOptions,
        permit: OwnedSemaphorePermit,
    ) -> Done<(Response<WasiBody>, Rest)> {
        let _remote = self.activity.remote();
        let reset = self.strike(Import::HttpRequest).await?.is_some();
        let socket = self.connect(request.uri(), &options).await?;
        if reset {
            return Err(of_connector(was_reset()));
        }
        let silence = Duration::from_secs(HTTP_SILENCE_SECONDS);
        let first_byte = options.first_byte_timeout.unwrap_or(silence);
        let between_bytes = options.between_bytes_timeout.unwrap_or(silence);

        // Only a proxy is told the scheme and the host in the first line.
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        // Each request has a connection of its own: a recording then does not depend on which one was free.
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        let too_long = Error::HttpRequestBodySize(Some(HTTP_BODY_BYTES_MAX));
        let request =
            request.map(|body| Bounded { body, left: HTTP_BODY_BYTES_MAX, too_long: Some(too_long) });

        let (mut sender, connection) =
            http1::handshake(Stream { socket, reading: None }).await.map_err(of_hyper)?;
        let mut connection = Some(Box::pin(connection));
        let mut sending = std::pin::pin!(sender.send_request(request));
        let answer = std::future::poll_fn(|cx| {
            // The connection does the work; how it ended is told to the request.
            if let Some(going) = &mut connection
                && going.as_mut().poll(cx).is_ready()
            {
                connection = None;
            }
            sending.as_mut().poll(cx)
        });
        let answer = timeout(first_byte, answer).await.map_err(|_| Error::HttpResponseTimeout)?;
        let answer = answer.map_err(of_hyper)?;
        self.activity.touch();
        let fate = match self.strike(Import::HttpResponse).await? {
            None => Fate::Whole,
            Some(Bent::Reset) => Fate::Ends { left: 0, how: Some(Error::ConnectionTerminated) },
            Some(Bent::CutShort(bytes)) => {
                Fate::Ends { left: bytes as usize, how: Some(Error::HttpResponseIncomplete) }
            }
        };
        let body = |incoming| {
            let body = Patient {
                body: incoming,
                between_bytes,
                silent: Box::pin(tokio::time::sleep(between_bytes)),
            };
            let body = Fated { body, fate };
            let too_long = Error::HttpResponseBodySize(Some(HTTP_BODY_BYTES_MAX));
            Bounded { body, left: HTTP_BODY_BYTES_MAX, too_long: Some(too_long) }.boxed_unsync()
        };
        // What goes wrong with the connection from here on is seen in the body.
        let rest = async move {
            if let Some(connection) = connection {
                let _ = connection.await;
            }
            drop(permit);
            Ok(())
        };
        Ok((answer.map(body), Box::new(rest)))
    }

    /// Makes a call go wrong if the plan says so.
    async fn strike(&self, import: Import) -> Done<Option<Bent>> {
        match strike(&self.faults, import).await {
            Ok(bent) => Ok(bent),
            Err(Fault::Refused(error)) => Err(of_connector(*error)),
            // There is no way to trap from here: whoever watches the guest ends it.
            Err(Fault::Trap(cause)) => match self.doom.pronounce(cause).await {},
        }
    }

    /// Connects to where the request goes, if that was granted, with TLS for `https`.
    async fn connect(&self, uri: &Uri, options: &RequestOptions) -> Done<Socket> {
        let host = uri.host().ok_or(Error::HttpRequestUriInvalid)?;
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let timeout_ms =
            options.connect_timeout.map(|timeout| timeout.as_millis().try_into().unwrap_or(u32::MAX));
        let timeout_ms = timeout_ms.unwrap_or(HTTP_CONNECT_TIMEOUT_MS);
        let (grants, network) = (&self.grants, self.network.as_ref());
        let mut socket = network::connect(grants, network, &self.id, host, port, timeout_ms)
            .await
            .map_err(of_connector)?;
        if secure {
            let server_name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let tls = TlsOptions {
                server_name,
                verification: Verification::Full,
                roots_pem: None,
                alpn: vec!["http/1.1".to_owned()],
            };
            socket.start_tls(tls).await.map_err(of_connector)?;
        }
        Ok(socket)
    }
}

/// A connection as hyper wants it.
struct Stream {
    socket: Socket,
    /// Who waits for bytes. A recording has some as soon as the right ones are written, and no system to say so.
    reading: Option<Waker>,
}

/// An error in its way through hyper, which carries those of I/O and no others.
fn carried(error: ConnectorError) -> io::Error {
    io::Error::other(error)
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes_max = u32::try_from(buf.remaining()).unwrap_or(u32::MAX);
        loop {
            if let Some(bytes) = self.socket.try_read(bytes_max).map_err(carried)? {
                buf.put_slice(&bytes);
                return Poll::Ready(Ok(()));
            }
            if self.socket.poll_readable(cx).is_pending() {
                self.reading = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.socket.try_write(bytes).map_err(carried)? {
                0 if !bytes.is_empty() => ready!(self.socket.poll_writable(cx)),
                written => {
                    if let Some(reading) = self.reading.take() {
                        reading.wake();
                    }
                    return Poll::Ready(Ok(written as usize));
                }
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush(cx).map(Ok)
    }

    /// The socket says goodbye when it is dropped.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// An answer's body that does not stay silent for ever.
struct Patient {
    body: Incoming,
    between_bytes: Duration,
    silent: Pin<Box<Sleep>>,
}

impl Body for Patient {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Done<Frame<Bytes>>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                let deadline = Instant::now() + self.between_bytes;
                self.silent.as_mut().reset(deadline);
                Poll::Ready(frame.map(|frame| frame.map_err(of_hyper)))
            }
            Poll::Pending => {
                ready!(self.silent.as_mut().poll(cx));
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }
}

/// What a plan of faults has in mind for an answer.
enum Fate {
    Whole,
    /// It breaks off after so many bytes; how is said once.
    Ends {
        left: usize,
        how: Option<Error>,
    },
}

/// An answer's body with its fate.
struct Fated<B> {
    body: B,
    fate: Fate,
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for Fated<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Done<Frame<Bytes>>>> {
        let Fated { body, fate } = &mut *self;
        let Fate::Ends { left, how } = fate else { return Pin::new(body).poll_frame(cx) };
        if *left == 0 {
            return Poll::Ready(how.take().map(Err));
        }
        match ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(mut data))) => {
                data.truncate(*left);
                *left -= data.len();
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            // Trailers, or the end: there was less than was to be cut.
            Some(Ok(Err(_))) | None => {
                *left = 0;
                Poll::Ready(how.take().map(Err))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.fate, Fate::Whole) && self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// A body with an end.
struct Bounded<B> {
    body: B,
    left: u64,
    /// Said once.
    too_long: Option<Error>,
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for Bounded<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Done<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            match self.left.checked_sub(bytes) {
                Some(left) => self.left = left,
                None => return Poll::Ready(self.too_long.take().map(Err)),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// What a request is told of a connection that is refused or fails. HTTP's own list of errors has no room for a text but
/// in a few of them.
fn of_connector(error: ConnectorError) -> Error {
    match (error.code.as_str(), error.category) {
        ("address_not_granted", _) => Error::DestinationIpProhibited,
        (_, ErrorCategory::Permission) => Error::HttpRequestDenied,
        ("dns_failed", _) => Error::DnsError { rcode: Some(error.message), info_code: None },
        ("connection_refused", _) => Error::ConnectionRefused,
        ("connect_timeout", _) => Error::ConnectionTimeout,
        ("connect_failed", _) => Error::DestinationUnavailable,
        ("connection_timed_out", _) => Error::ConnectionReadTimeout,
        ("connection_reset" | "connection_closed" | "connection_cut_off", _) => Error::ConnectionTerminated,
        ("tls_certificate", _) => Error::TlsCertificateError,
        ("tls_failed" | "tls_timeout", _) => Error::TlsProtocolError,
        _ => Error::InternalError(Some(error.message)),
    }
}

/// What hyper says, by its cause where that is ours.
fn of_hyper(error: hyper::Error) -> Error {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let carried = inner.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
        if let Some(error) = carried.and_then(|error| error.downcast_ref::<ConnectorError>()) {
            return of_connector(error.clone());
        }
        if let Some(Error::HttpRequestBodySize(size)) = inner.downcast_ref::<Error>() {
            return Error::HttpRequestBodySize(*size);
        }
        cause = inner.source();
    }
    if error.is_incomplete_message() { Error::HttpResponseIncomplete } else { Error::HttpProtocolError }
}
