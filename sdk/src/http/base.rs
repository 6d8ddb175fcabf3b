//! The URL that an API lives below, and the targets of requests made from it.

use std::fmt;

use hyper::Uri;

use crate::error::ConnectorError;

/// An `http` or `https` URL without query, fragment and credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BaseUrl {
    pub(super) tls: bool,
    /// In lower case; IPv6 without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// What the header `host` says.
    pub(super) authority: String,
    /// Without `/` at its end.
    path: String,
}

impl BaseUrl {
    /// Reads a URL. What is wrong with it is said without repeating it, because people put passwords into URLs.
    pub(super) fn parse(url: &str) -> Result<Self, ConnectorError> {
        let bad = |what: &str| ConnectorError::config("url", what);
        if url.contains('#') {
            return Err(bad("a fragment (`#…`) means nothing to a server; leave it out"));
        }
        let uri: Uri = url
            .trim()
            .parse()
            .map_err(|error| bad(&format!("is not a URL like `https://api.example.com/v1`: {error}")))?;
        let tls = match uri.scheme_str() {
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => true,
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => false,
            _ => return Err(bad("must begin with `https://` or `http://`")),
        };
        let authority = uri.authority().ok_or_else(|| bad("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("must not carry credentials; give them in keys of their own"));
        }
        if uri.query().is_some() {
            return Err(bad("must not carry a query (`?…`)"));
        }
        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() {
            return Err(bad("names no host"));
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().ends_with(':')
                || authority.as_str().len() == authority.host().len() =>
            {
                if tls {
                    443
                } else {
                    80
                }
            }
            None => return Err(bad("has a port that is not a number up to 65535")),
        };
        Ok(BaseUrl {
            tls,
            authority: if port == if tls { 443 } else { 80 } {
                host.clone()
            } else {
                format!("{host}:{port}")
            },
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The target of a request: path below the base and an encoded query.
    pub(super) fn target(&self, path: &str, query: &str) -> Result<Uri, ConnectorError> {
        let mut target = self.path_of(path);
        if !query.is_empty() {
            target.push('?');
            target.push_str(query);
        }
        target.parse().map_err(|error| {
            let message = format!("`{}` is no path of a URL: {error}", path.escape_debug());
            ConnectorError::internal("http_bad_path", message)
        })
    }

    /// The target that a URL of this very server is asked for by: a whole URL, or a path from its root.
    pub(super) fn beside(&self, url: &str) -> Result<Uri, ConnectorError> {
        let bad = |what: &str| {
            let message = format!("the link to the next page {what}");
            ConnectorError::new(crate::ErrorCategory::Config, "http_elsewhere", message)
        };
        let url = url.split('#').next().unwrap_or_default();
        if url.starts_with('/') && !url.starts_with("//") {
            return url.parse().map_err(|_| bad("is no URL"));
        }
        let whole: Uri = url.parse().map_err(|_| bad("is no URL"))?;
        let root = format!(
            "{}://{}",
            whole.scheme_str().unwrap_or_default(),
            whole.authority().map(|authority| authority.as_str()).unwrap_or_default()
        );
        let there = BaseUrl::parse(&root).map_err(|_| bad("is no URL of a server"))?;
        if (there.tls, &there.host, there.port) != (self.tls, &self.host, self.port) {
            return Err(bad(&format!("leads to `{there}`, not to the server of the config key `url`")));
        }
        let target = whole.path_and_query().map_or("/", |target| target.as_str());
        target.parse().map_err(|_| bad("is no URL"))
    }

    fn path_of(&self, path: &str) -> String {
        let path = path.trim_start_matches('/');
        if path.is_empty() && !self.path.is_empty() {
            return self.path.clone();
        }
        format!("{}/{path}", self.path)
    }

    /// The URL of a target for messages: without the query, which may hold a secret.
    pub(super) fn shown(&self, target: &Uri) -> String {
        format!("{}{}", self.root(), target.path())
    }

    fn root(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.authority)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.root(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_granted() {
        let endpoint = |url: &str| {
            let base = BaseUrl::parse(url).unwrap();
            (base.tls, base.host, base.port)
        };
        assert_eq!(endpoint("https://API.example.com/v1/"), (true, "api.example.com".to_owned(), 443));
        assert_eq!(endpoint("http://127.0.0.1:8787"), (false, "127.0.0.1".to_owned(), 8787));
        assert_eq!(endpoint("http://[::1]:80/x"), (false, "::1".to_owned(), 80));
    }

    #[test]
    fn refuses_the_rest_without_repeating_it() {
        for url in [
            "",
            "api.example.com/v1",
            "ftp://api.example.com",
            "https://",
            "https://user:hunter2@api.example.com",
            "https://api.example.com/?key=hunter2",
            "https://api.example.com/#hunter2",
            "https://api.example.com:99999/hunter2",
            "https://bücher.example/hunter2",
        ] {
            let error = BaseUrl::parse(url).unwrap_err();
            assert_eq!(error.category, crate::ErrorCategory::Config, "{url}");
            assert!(error.message.starts_with("config field `url`: "), "{url}: {error}");
            assert!(!error.message.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn links_stay_with_the_server() {
        let base = BaseUrl::parse("https://api.example.com/v1").unwrap();
        for (url, target) in [
            ("https://api.example.com/v1/issues?page=2", "/v1/issues?page=2"),
            ("https://API.example.com:443/v2#x", "/v2"),
            ("https://api.example.com", "/"),
            ("/v1/issues?page=2", "/v1/issues?page=2"),
        ] {
            assert_eq!(base.beside(url).unwrap(), target, "{url}");
        }
        for url in [
            "http://api.example.com/v1?key=hunter2",
            "https://api.example.com:8443/",
            "https://api.example.com.evil.example/",
            "https://api.example.com@evil.example/",
            "//evil.example/",
            "issues?page=2",
            "",
        ] {
            let error = base.beside(url).unwrap_err();
            assert_eq!(
                (error.category, error.code.as_str()),
                (crate::ErrorCategory::Config, "http_elsewhere")
            );
            assert!(!error.message.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn targets_lie_below_the_base() {
        let base = BaseUrl::parse("https://api.example.com:8443/v1/").unwrap();
        assert_eq!(base.authority, "api.example.com:8443");
        assert_eq!(base.target("/issues", "").unwrap(), "/v1/issues");
        assert_eq!(base.target("issues", "a=b").unwrap(), "/v1/issues?a=b");
        assert_eq!(base.target("", "a=b").unwrap(), "/v1?a=b");
        let target = base.target("issues", "a=b").unwrap();
        assert_eq!(base.shown(&target), "https://api.example.com:8443/v1/issues");
        assert_eq!(base.target("a b", "").unwrap_err().code, "http_bad_path");
        let bare = BaseUrl::parse("http://api.example.com").unwrap();
        assert_eq!(bare.target("", "").unwrap(), "/");
        assert_eq!(bare.target("x", "").unwrap(), "/x");
    }
}
