//! One recorded connection: its lines in a file, and the same in memory as what was sent and what happened when.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rapidbyte_core::ConnectorError;
use serde::{Deserialize, Serialize};

use super::CassetteError;

/// The first line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Name and version of the connector.
    pub connector: String,
    pub host: String,
    pub port: u16,
}

/// Every further line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// By the connector.
    Sent(Payload),
    /// From the peer.
    Received(Payload),
    /// The peer sends nothing more.
    End,
    /// TLS was started; what follows is what was inside.
    Tls(Tls),
    /// Reading or writing failed, by the code of the error that the connector got.
    Failed(String),
    /// Connecting or TLS failed.
    Refused(ConnectorError),
    /// More came, which was not kept.
    Cut,
}

/// Bytes, readable where they are text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    Text(String),
    Base64(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    pub alpn: Option<String>,
    /// In base64.
    pub channel_binding: Option<String>,
}

impl Payload {
    pub fn of(bytes: &[u8]) -> Payload {
        let readable = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
        match std::str::from_utf8(bytes) {
            Ok(text) if text.chars().all(readable) => Payload::Text(text.to_owned()),
            _ => Payload::Base64(STANDARD.encode(bytes)),
        }
    }

    pub fn bytes(&self) -> Result<Vec<u8>, base64::DecodeError> {
        match self {
            Payload::Text(text) => Ok(text.as_bytes().to_vec()),
            Payload::Base64(text) => STANDARD.decode(text),
        }
    }
}

/// What comes to the connector once it has sent so many bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    pub after_sent: usize,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Received(Vec<u8>),
    End,
    Tls(Tls),
    Failed(String),
    Refused(ConnectorError),
    Cut,
}

/// A recorded connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Tape {
    /// The file's name.
    pub name: String,
    pub header: Header,
    pub sent: Vec<u8>,
    pub moments: Vec<Moment>,
}

impl Tape {
    pub fn read(path: &Path) -> Result<Tape, CassetteError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| CassetteError::File { path: name.clone(), source })?;
        let malformed =
            |line: usize, message: String| CassetteError::Malformed { path: name.clone(), line, message };
        let mut lines = text.lines().zip(1..);
        let (header, _) = lines.next().ok_or_else(|| malformed(1, "the file is empty".to_owned()))?;
        let header = serde_json::from_str(header).map_err(|error| malformed(1, error.to_string()))?;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut tape = Tape { name: file, header, sent: Vec::new(), moments: Vec::new() };
        for (text, number) in lines.filter(|(text, _)| !text.trim().is_empty()) {
            let no = |error: &dyn std::fmt::Display| malformed(number, error.to_string());
            let line: Line = serde_json::from_str(text).map_err(|error| no(&error))?;
            let what = match line {
                Line::Sent(payload) => {
                    tape.sent.extend(payload.bytes().map_err(|error| no(&error))?);
                    continue;
                }
                Line::Received(payload) => What::Received(payload.bytes().map_err(|error| no(&error))?),
                Line::End => What::End,
                Line::Tls(tls) => What::Tls(tls),
                Line::Failed(code) => What::Failed(code),
                Line::Refused(error) => What::Refused(error),
                Line::Cut => What::Cut,
            };
            tape.moments.push(Moment { after_sent: tape.sent.len(), what });
        }
        Ok(tape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_as_they_were() {
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"", b"\0\x01binary", "Grüße".as_bytes(), b"\xff"] {
            let line = serde_json::to_string(&Line::Sent(Payload::of(bytes))).unwrap();
            let Line::Sent(payload) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
            assert_eq!(payload.bytes().unwrap(), bytes, "{line}");
        }
        assert!(matches!(Payload::of(b"text\n"), Payload::Text(_)));
        assert!(matches!(Payload::of(b"\0"), Payload::Base64(_)));
    }
}
