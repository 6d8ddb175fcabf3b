//! Native TLS with the host's choices of verification, so that a connector can be tested against a TLS server.

use std::sync::Arc;

use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::error::ConnectorError;
use crate::limits;
use crate::net::{TlsInfo, TlsOptions, TlsVerification};

pub(super) async fn connect(
    stream: TcpStream,
    options: &TlsOptions,
) -> Result<(TlsStream<TcpStream>, TlsInfo), ConnectorError> {
    let config = client_config(options)?;
    let name = ServerName::try_from(options.server_name.clone()).map_err(|_| {
        ConnectorError::new(
            crate::ErrorCategory::Config,
            "bad_server_name",
            format!("`{}` is not a server name", options.server_name),
        )
    })?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| {
        let code = if error.kind() == std::io::ErrorKind::InvalidData { "tls_refused" } else { "tls_failed" };
        let error = ConnectorError::transient_network(
            code,
            format!("TLS handshake with `{}`: {error}", options.server_name),
        );
        if code == "tls_refused" { error.not_retryable() } else { error }
    })?;
    let (_, session) = stream.get_ref();
    let info = TlsInfo {
        alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        channel_binding: session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|certificate| end_point_hash(certificate)),
    };
    Ok((stream, info))
}

fn client_config(options: &TlsOptions) -> Result<ClientConfig, ConnectorError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(tls)?;
    let verifier: Arc<dyn ServerCertVerifier> = match options.verification {
        TlsVerification::None => Arc::new(Lenient { provider, chain: None }),
        verification => {
            let roots = Arc::new(roots(options.roots_pem.as_deref())?);
            let chain =
                WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build().map_err(tls)?;
            match verification {
                TlsVerification::Full => chain,
                _ => Arc::new(Lenient { provider, chain: Some(chain) }),
            }
        }
    };
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = options.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(config)
}

fn tls(error: impl std::fmt::Display) -> ConnectorError {
    ConnectorError::internal("tls", error.to_string())
}

fn roots(pem: Option<&str>) -> Result<RootCertStore, ConnectorError> {
    let mut roots = RootCertStore::empty();
    match pem {
        Some(pem) => {
            if pem.len() > limits::ROOTS_PEM_BYTES_MAX {
                return Err(bad_roots("larger than any bundle of roots"));
            }
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                roots.add(certificate.map_err(bad_roots)?).map_err(bad_roots)?;
            }
            if roots.is_empty() {
                return Err(bad_roots("there is no certificate in them"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

fn bad_roots(error: impl std::fmt::Display) -> ConnectorError {
    let message = format!("the trusted certificates are not usable PEM: {error}");
    ConnectorError::new(crate::ErrorCategory::Config, "bad_roots", message)
}

/// Verifies the chain but not the name, or nothing but that the peer has the key of its certificate.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is judged last, after the chain was found good.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// `tls-server-end-point` (RFC 5929): the certificate's hash by its own signature's hash, SHA-256 where that is weaker.
fn end_point_hash(certificate: &[u8]) -> Vec<u8> {
    // The last byte of the algorithm's identifier tells the hash: 1.2.840.113549.1.1.{12,13} and 1.2.840.10045.4.3.{3,4}.
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    let hash = signature_algorithm(certificate).and_then(|identifier| identifier.split_last());
    match hash {
        Some((12, RSA)) | Some((3, ECDSA)) => Sha384::digest(certificate).to_vec(),
        Some((13, RSA)) | Some((4, ECDSA)) => Sha512::digest(certificate).to_vec(),
        _ => Sha256::digest(certificate).to_vec(),
    }
}

/// `Certificate ::= SEQUENCE { tbs SEQUENCE, algorithm SEQUENCE { OBJECT IDENTIFIER, … }, … }`
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (outer, _) = element(certificate)?;
    let (_, rest) = element(outer)?;
    let (algorithm, _) = element(rest)?;
    Some(element(algorithm)?.0)
}

/// Content of the first DER element, and what follows it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.get(1..)?.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        let digits = rest.get(..count).filter(|_| count <= 4)?;
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), &rest[count..])
    };
    Some((rest.get(..length)?, &rest[length..]))
}
