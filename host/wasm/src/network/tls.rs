//! TLS, ended in the host: rustls over a non-blocking socket, the judgement of certificates, channel binding.

use std::future::poll_fn;
use std::io::{self, BufRead, Read, Write};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use rapidbyte_core::{ConnectorError, ErrorCategory};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::socket::poll_ready;
use super::{certificate, network_error};
use crate::limits::{ALPN_MAX, ROOTS_MAX, TLS_PENDING_BYTES_MAX};

/// What is encrypted and sent at once: one TLS record.
const RECORD_BYTES: usize = 16 * 1024;

/// How a server's certificate is judged; see `tls-verification` in the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    Full,
    Chain,
    None,
}

/// What a guest asks for.
#[derive(Debug, Clone)]
pub struct Options {
    pub server_name: String,
    pub verification: Verification,
    pub roots_pem: Option<String>,
    pub alpn: Vec<String>,
}

/// What a handshake settled.
#[derive(Debug, Clone)]
pub struct Info {
    pub alpn: Option<String>,
    pub channel_binding: Option<Vec<u8>>,
}

fn config_error(code: &str, message: String) -> ConnectorError {
    ConnectorError::new(ErrorCategory::Config, code, message)
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}

/// The system's roots, read once. Certificates that do not parse are left out: one of them must not spoil the others.
async fn system_roots() -> Result<Arc<RootCertStore>, ConnectorError> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(roots.clone());
    }
    let read = tokio::task::spawn_blocking(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    let roots = read.await.map_err(|error| ConnectorError::internal("tls_roots", error.to_string()))?;
    Ok(ROOTS.get_or_init(|| roots).clone())
}

fn given_roots(pem: &str) -> Result<Arc<RootCertStore>, ConnectorError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()).take(ROOTS_MAX) {
        let certificate = certificate.map_err(|error| {
            config_error("tls_roots", format!("the root certificates are not PEM: {error}"))
        })?;
        roots.add(certificate).map_err(|error| {
            config_error("tls_roots", format!("a root certificate is not usable: {error}"))
        })?;
    }
    if roots.is_empty() {
        return Err(config_error("tls_roots", "the given PEM holds no root certificate".into()));
    }
    Ok(Arc::new(roots))
}

/// The client's side of a handshake as a guest asked for it.
pub(super) async fn client_config(options: &Options) -> Result<Arc<ClientConfig>, ConnectorError> {
    let failed = |error: &dyn std::fmt::Display| ConnectorError::internal("tls_setup", error.to_string());
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?;
    let roots = match &options.roots_pem {
        Some(pem) => Some(given_roots(pem)?),
        None if options.verification == Verification::None => None,
        None => Some(system_roots().await?),
    };
    let mut config = match (options.verification, roots) {
        (Verification::Full, Some(roots)) => builder.with_root_certificates(roots).with_no_client_auth(),
        (Verification::Chain, Some(roots)) => {
            let inner = WebPkiServerVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(|error| config_error("tls_roots", error.to_string()))?;
            let verifier = Arc::new(ChainOnly(inner));
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
        (Verification::None, _) | (_, None) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone)).with_no_client_auth()
        }
    };
    config.alpn_protocols = options.alpn.iter().take(ALPN_MAX).map(|name| name.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

/// Chain without name.
#[derive(Debug)]
struct ChainOnly(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The name is checked last, so an error about it says that the chain is good.
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Neither chain nor name; that the peer holds the certificate's key is still proved.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A session over a non-blocking socket.
pub(super) struct TlsStream {
    tcp: TcpStream,
    session: ClientConnection,
    /// The peer has sent its last byte.
    ended: bool,
    /// Nothing works any more.
    broken: bool,
}

/// Lets rustls read and write without waiting.
struct NonBlocking<'a>(&'a TcpStream);

impl Read for NonBlocking<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl Write for NonBlocking<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

impl TlsStream {
    /// Does the handshake.
    pub(super) async fn connect(
        tcp: TcpStream,
        config: Arc<ClientConfig>,
        options: &Options,
        endpoint: &str,
    ) -> Result<Self, ConnectorError> {
        let name = ServerName::try_from(options.server_name.clone()).map_err(|_| {
            config_error("tls_server_name", format!("`{}` is not a name of a server", options.server_name))
        })?;
        let mut session = ClientConnection::new(config, name)
            .map_err(|error| ConnectorError::internal("tls_setup", error.to_string()))?;
        session.set_buffer_limit(Some(TLS_PENDING_BYTES_MAX));
        let mut stream = TlsStream { tcp, session, ended: false, broken: false };
        poll_fn(|cx| stream.poll_handshake(cx)).await.map_err(|error| handshake_error(endpoint, error))?;
        Ok(stream)
    }

    pub(super) fn info(&self) -> Info {
        let certificate = self.session.peer_certificates().and_then(|certificates| certificates.first());
        Info {
            alpn: self.session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            channel_binding: certificate.and_then(|certificate| certificate::server_end_point(certificate)),
        }
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.send() {
                Ok(()) => {}
                Err(error) if would_block(&error) => {
                    ready!(poll_ready(&self.tcp, cx, true))?;
                    continue;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            match self.receive() {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) if would_block(&error) => ready!(poll_ready(&self.tcp, cx, false))?,
                Err(error) => {
                    // The alert tells the server why.
                    let _ = self.send();
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// Takes encrypted bytes from the socket and opens them. Zero at the end.
    fn receive(&mut self) -> io::Result<usize> {
        let received = self.session.read_tls(&mut NonBlocking(&self.tcp))?;
        self.session
            .process_new_packets()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(received)
    }

    /// Sends all encrypted bytes that wait.
    fn send(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut NonBlocking(&self.tcp))?;
        }
        Ok(())
    }

    /// Sends what fits. An error shows at the next read or write.
    fn send_what_fits(&mut self) {
        if let Err(error) = self.send() {
            self.broken |= !would_block(&error);
        }
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.broken && self.session.wants_write()
    }

    pub(super) fn try_read(&mut self, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        loop {
            let mut reader = self.session.reader();
            match reader.fill_buf() {
                Ok([]) => return Ok(Some(bytes)),
                Ok(chunk) => {
                    let taken = chunk.len().min(bytes_max - bytes.len());
                    bytes.extend_from_slice(&chunk[..taken]);
                    reader.consume(taken);
                    if bytes.len() == bytes_max {
                        return Ok(Some(bytes));
                    }
                    continue;
                }
                Err(error) if would_block(&error) => {}
                Err(_) if !bytes.is_empty() => return Ok(Some(bytes)),
                Err(error) => return Err(error),
            }
            if self.broken {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            match self.receive() {
                Ok(received) => {
                    // An answer to a key update or the like.
                    self.send_what_fits();
                    if received == 0 && self.ended {
                        return if bytes.is_empty() {
                            Err(io::ErrorKind::UnexpectedEof.into())
                        } else {
                            Ok(Some(bytes))
                        };
                    }
                    self.ended |= received == 0;
                }
                Err(error) if would_block(&error) => return Ok((!bytes.is_empty()).then_some(bytes)),
                Err(_) if !bytes.is_empty() => return Ok(Some(bytes)),
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        // One record at a time: what the socket does not take stays here, and that shall be little.
        loop {
            match self.send() {
                Ok(()) => {}
                Err(error) if would_block(&error) || taken > 0 => return Ok(taken),
                Err(error) => return Err(error),
            }
            let chunk = &bytes[taken..(taken + RECORD_BYTES).min(bytes.len())];
            if chunk.is_empty() {
                return Ok(taken);
            }
            match self.session.writer().write(chunk) {
                Ok(0) => return Ok(taken),
                Ok(written) => taken += written,
                Err(_) if taken > 0 => return Ok(taken),
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Whether or not everything is sent, reading goes on.
        let _ = self.poll_flush(cx);
        loop {
            if self.broken || self.ended {
                return Poll::Ready(());
            }
            match self.session.reader().fill_buf() {
                Err(error) if would_block(&error) => {}
                Ok(_) | Err(_) => return Poll::Ready(()),
            }
            match self.receive() {
                Ok(received) => self.ended |= received == 0,
                Err(error) if would_block(&error) => {
                    if ready!(poll_ready(&self.tcp, cx, false)).is_err() {
                        return Poll::Ready(());
                    }
                }
                // The next read meets the same error again: rustls keeps it.
                Err(_) => return Poll::Ready(()),
            }
        }
    }

    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_flush(cx)
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.has_unsent() {
            match self.send() {
                Ok(()) => {}
                Err(error) if would_block(&error) => {
                    if ready!(poll_ready(&self.tcp, cx, true)).is_err() {
                        self.broken = true;
                    }
                }
                Err(_) => self.broken = true,
            }
        }
        Poll::Ready(())
    }

    /// Closes at once, with a reset.
    pub(super) fn abort(self) {
        drop(self.tcp.set_zero_linger());
    }

    pub(super) async fn close(&mut self) {
        self.session.send_close_notify();
        poll_fn(|cx| self.poll_flush(cx)).await;
        let _ = self.tcp.shutdown().await;
    }
}

fn handshake_error(endpoint: &str, error: io::Error) -> ConnectorError {
    match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(cause)) => config_error(
            "tls_certificate",
            format!("the certificate of `{endpoint}` is not accepted: {cause}"),
        ),
        Some(cause) => {
            network_error("tls_failed", format!("the TLS handshake with `{endpoint}` failed: {cause}"))
        }
        None => network_error("tls_failed", format!("the TLS handshake with `{endpoint}` failed: {error}")),
    }
}
