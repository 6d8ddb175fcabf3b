//! Challenges and what answers them: basic credentials, and tokens that a registry's token service gives for them. Secrets are
//! wiped, never shown, and never sent to another server than the one they are for.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use serde::Deserialize;
use zeroize::Zeroizing;

/// Who we are to a registry.
#[derive(Clone)]
pub struct Credentials {
    pub user: String,
    password: Zeroizing<String>,
}

impl Credentials {
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Credentials { user: user.into(), password: Zeroizing::new(password.into()) }
    }

    /// The value of an `Authorization` header.
    pub(crate) fn basic(&self) -> Zeroizing<String> {
        let pair = Zeroizing::new(format!("{}:{}", self.user, self.password.as_str()));
        Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.user)
    }
}

/// What a registry wants to see.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    /// A token from this service.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// The first that we can answer of a `WWW-Authenticate` header, tokens before passwords.
    pub fn parse(header: &str) -> Option<Self> {
        let challenges = http_auth::parse_challenges(header).ok()?;
        let bearer = challenges.iter().find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"));
        if let Some(challenge) = bearer {
            let value = |name: &str| {
                let mut params = challenge.params.iter();
                params.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_unescaped())
            };
            return Some(Challenge::Bearer {
                realm: value("realm")?,
                service: value("service"),
                scope: value("scope"),
            });
        }
        let basic = challenges.iter().any(|challenge| challenge.scheme.eq_ignore_ascii_case("basic"));
        basic.then_some(Challenge::Basic)
    }
}

/// Where a token is asked for.
pub(crate) fn token_url(realm: &str, service: Option<&str>, scope: &str) -> Option<Url> {
    let mut url: Url = realm.parse().ok()?;
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        query.append_pair("scope", scope);
    }
    Some(url)
}

/// What a token service answers; either key may hold it.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

/// The token in an answer.
pub(crate) fn token(answer: &[u8]) -> Option<Zeroizing<String>> {
    let answer: TokenAnswer = serde_json::from_slice(answer).ok()?;
    answer.token.or(answer.access_token).filter(|token| !token.is_empty()).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_servers_write_them() {
        let bearer = r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull""#;
        assert_eq!(
            Challenge::parse(bearer),
            Some(Challenge::Bearer {
                realm: "https://auth.example/token".to_owned(),
                service: Some("registry.example".to_owned()),
                scope: Some("repository:a/b:pull".to_owned()),
            })
        );
        assert_eq!(Challenge::parse(r#"Basic realm="Registry""#), Some(Challenge::Basic));
        assert_eq!(Challenge::parse(r#"Negotiate, basic realm="x""#), Some(Challenge::Basic));
        for strange in ["", "Digest realm=\"x\"", "Bearer", "Bearer realm=", "\u{7f}"] {
            assert_eq!(Challenge::parse(strange), None, "{strange}");
        }
    }

    #[test]
    fn tokens_are_asked_for_and_found() {
        let url = token_url("https://auth.example/token?a=1", Some("registry"), "repository:a/b:pull,push")
            .unwrap();
        assert_eq!(
            url.as_str(),
            "https://auth.example/token?a=1&service=registry&scope=repository%3Aa%2Fb%3Apull%2Cpush"
        );
        assert_eq!(token(br#"{"token":"abc"}"#).unwrap().as_str(), "abc");
        assert_eq!(token(br#"{"access_token":"abc","expires_in":300}"#).unwrap().as_str(), "abc");
        assert!(token(b"{}").is_none() && token(br#"{"token":""}"#).is_none() && token(b"<html>").is_none());
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials = Credentials::new("reader", "a secret");
        assert_eq!(format!("{credentials:?}"), "Credentials(reader)");
        assert_eq!(credentials.basic().as_str(), "Basic cmVhZGVyOmEgc2VjcmV0");
    }
}
