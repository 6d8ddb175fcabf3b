//! The `tls-server-end-point` channel binding of RFC 5929: the hash of the server's certificate, by the hash function of
//! its own signature. Reads just as much DER as that takes.

use sha2::{Digest, Sha256, Sha384, Sha512};

/// DER of the object identifiers of signature algorithms, by the hash that the binding takes; MD5 and SHA-1 count as SHA-256.
const SHA256: &[&[u8]] = &[
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04], // md5WithRSAEncryption
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05], // sha1WithRSAEncryption
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b], // sha256WithRSAEncryption
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01],             // ecdsa-with-SHA1
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],       // ecdsa-with-SHA256
];
const SHA384: &[&[u8]] = &[
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c], // sha384WithRSAEncryption
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03],       // ecdsa-with-SHA384
];
const SHA512: &[&[u8]] = &[
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d], // sha512WithRSAEncryption
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04],       // ecdsa-with-SHA512
];

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// The binding; none where the RFC leaves it undefined (EdDSA, RSA-PSS) or the certificate does not parse.
pub(super) fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = signature_algorithm(certificate)?;
    if SHA256.contains(&algorithm) {
        Some(Sha256::digest(certificate).to_vec())
    } else if SHA384.contains(&algorithm) {
        Some(Sha384::digest(certificate).to_vec())
    } else if SHA512.contains(&algorithm) {
        Some(Sha512::digest(certificate).to_vec())
    } else {
        None
    }
}

/// `Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { algorithm OID, … }, … }`
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (_, rest) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (identifier, _) = element(algorithm, OBJECT_IDENTIFIER)?;
    Some(identifier)
}

/// The contents of the element at the front, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (len.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    if found == tag { rest.split_at_checked(len) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_by_the_signature_of_the_certificate() {
        let der = |oid: &[u8]| {
            let mut algorithm = vec![OBJECT_IDENTIFIER, oid.len() as u8];
            algorithm.extend_from_slice(oid);
            let mut body = vec![SEQUENCE, 0, SEQUENCE, algorithm.len() as u8];
            body.extend_from_slice(&algorithm);
            let mut certificate = vec![SEQUENCE, 0x81, body.len() as u8];
            certificate.extend_from_slice(&body);
            certificate
        };
        for (algorithms, len) in [(SHA256, 32), (SHA384, 48), (SHA512, 64)] {
            for oid in algorithms {
                assert_eq!(server_end_point(&der(oid)).map(|hash| hash.len()), Some(len));
            }
        }
        assert_eq!(server_end_point(&der(&[0x2b, 0x65, 0x70])), None, "Ed25519 has none");
        let whole = der(SHA256[0]);
        for len in 0..whole.len() {
            assert_eq!(server_end_point(&whole[..len]), None);
        }
    }
}
