//! What packages and registries are called: `source-jira`, `acme/source-jira@^1.2`, `oci://ghost.example/acme/source-jira@1.2.0`,
//! `dir:./registry`. From text to checked parts; refuses to know whether any of them exist.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use semver::{Version, VersionReq};

use crate::digest::Digest;
use crate::limits::{NAME_CHARS_MAX, REPOSITORY_CHARS_MAX};

const OCI: &str = "oci://";
const DIR: &str = "dir:";

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {why}")]
pub struct BadReference {
    pub text: String,
    pub why: String,
    /// What to write instead.
    pub hint: String,
}

fn bad<T>(text: &str, why: impl Into<String>, hint: impl Into<String>) -> Result<T, BadReference> {
    Err(BadReference { text: text.chars().take(120).collect(), why: why.into(), hint: hint.into() })
}

/// The name of a package: letters, digits and single dashes, beginning with a letter, all in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackageName(String);

impl PackageName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PackageName {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        match is_name(text) {
            true => Ok(PackageName(text.to_owned())),
            false => bad(
                text,
                "is no name of a package",
                "names are lower-case letters, digits and single dashes, such as `source-jira`",
            ),
        }
    }
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= NAME_CHARS_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.ends_with(plain)
        && text.chars().all(|c| plain(c) || c == '-')
        && !text.contains("--")
}

/// Which version of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionSpec {
    /// The newest that is no pre-release.
    Newest,
    /// `1.2.0`: this one.
    Exact(Version),
    /// `^1.2`, `>=1, <3`: the newest of these.
    Range(VersionReq),
    /// This very manifest.
    Digest(Digest),
}

impl VersionSpec {
    fn parse(whole: &str, text: &str) -> Result<Self, BadReference> {
        if text.starts_with("sha256:") {
            return match text.parse() {
                Ok(digest) => Ok(VersionSpec::Digest(digest)),
                Err(_) => bad(
                    whole,
                    "has a digest that is none",
                    "a digest is `sha256:` with 64 hexadecimal digits",
                ),
            };
        }
        if let Ok(version) = text.parse() {
            return Ok(VersionSpec::Exact(version));
        }
        match text.parse() {
            Ok(range) if !text.is_empty() => Ok(VersionSpec::Range(range)),
            _ => bad(
                whole,
                format!("asks for the version `{text}`, which is neither a version nor a range"),
                "write `@1.2.0` for that version, `@^1.2` or `@>=1, <3` for the newest of a range",
            ),
        }
    }

    /// Whether a version is one that is asked for. A digest says nothing of versions.
    pub fn admits(&self, version: &Version) -> bool {
        match self {
            VersionSpec::Newest => version.pre.is_empty(),
            VersionSpec::Exact(exact) => exact == version,
            VersionSpec::Range(range) => range.matches(version),
            VersionSpec::Digest(_) => true,
        }
    }

    /// The newest of the versions that are asked for.
    pub fn newest<'a>(&self, versions: impl IntoIterator<Item = &'a Version>) -> Option<&'a Version> {
        versions.into_iter().filter(|version| self.admits(version)).max()
    }
}

impl fmt::Display for VersionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VersionSpec::Newest => f.write_str("*"),
            VersionSpec::Exact(version) => version.fmt(f),
            VersionSpec::Range(range) => range.fmt(f),
            VersionSpec::Digest(digest) => digest.fmt(f),
        }
    }
}

/// A version as a tag: tags cannot hold the `+` of build metadata.
pub fn tag_of(version: impl fmt::Display) -> String {
    version.to_string().replace('+', "_")
}

/// The version that a tag stands for; none if it is another kind of tag.
pub fn version_of(tag: &str) -> Option<Version> {
    tag.replacen('_', "+", 1).parse().ok()
}

/// Where packages lie.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RegistryRef {
    /// A name of the settings: `acme`.
    Alias(String),
    /// A server and the namespace on it, which may be empty: `oci://ghost.example:5000/acme`.
    Oci { host: String, namespace: String },
    /// A folder of image layouts: `dir:./registry`.
    Dir(PathBuf),
}

impl FromStr for RegistryRef {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        if let Some(path) = text.strip_prefix(DIR) {
            return match path.is_empty() {
                true => bad(text, "names no folder", "write `dir:./registry`"),
                false => Ok(RegistryRef::Dir(PathBuf::from(path))),
            };
        }
        let (rest, spelled) = match text.strip_prefix(OCI) {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        if !spelled && is_name(rest) && rest != "localhost" {
            return Ok(RegistryRef::Alias(rest.to_owned()));
        }
        let (host, namespace) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_host(host) {
            return bad(
                text,
                "is no registry",
                "write an alias (`acme`), a server (`oci://registry.example/acme`) or a folder (`dir:./registry`)",
            );
        }
        check_namespace(text, namespace)?;
        Ok(RegistryRef::Oci { host: host.to_owned(), namespace: namespace.to_owned() })
    }
}

impl fmt::Display for RegistryRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegistryRef::Alias(alias) => f.write_str(alias),
            RegistryRef::Oci { host, namespace } if namespace.is_empty() => write!(f, "{OCI}{host}"),
            RegistryRef::Oci { host, namespace } => write!(f, "{OCI}{host}/{namespace}"),
            RegistryRef::Dir(path) => write!(f, "{DIR}{}", path.display()),
        }
    }
}

/// A name of a server, or an address, with a port or without; a colon, a dot or `localhost` tells it from an alias.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(':') => (name, Some(port)),
        _ => (text, None),
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let bracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let name_fits = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            name == "localhost"
                || (port.is_some() || name.contains('.'))
                    && !name.is_empty()
                    && name.split('.').all(|label| {
                        !label.is_empty()
                            && !label.starts_with('-')
                            && !label.ends_with('-')
                            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                    })
        }
    };
    port_fits && name_fits
}

/// The grammar of repositories in the distribution specification: parts of lower-case letters and digits, joined by `.`, `_`,
/// `__` or dashes.
pub fn is_repository(path: &str) -> bool {
    let part_fits = |part: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(plain)
            && part.ends_with(plain)
            && part.chars().all(|c| plain(c) || "._-".contains(c))
            && !["..", "._", "_.", "-.", ".-", "___"].iter().any(|pair| part.contains(pair))
    };
    path.len() <= REPOSITORY_CHARS_MAX && path.split('/').all(part_fits)
}

fn check_namespace(whole: &str, path: &str) -> Result<(), BadReference> {
    if path.is_empty() || is_repository(path) {
        return Ok(());
    }
    bad(
        whole,
        format!("has the path `{path}`, which no registry takes"),
        "parts of the path are lower-case letters and digits, joined by `-`, `_` or `.`",
    )
}

/// A package, as pipelines and commands name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRef {
    /// None: the default registry, or whatever it was installed from.
    pub registry: Option<RegistryRef>,
    pub name: PackageName,
    pub version: VersionSpec,
}

impl FromStr for PackageRef {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        if text.starts_with(DIR) {
            return bad(
                text,
                "is a registry, not a package",
                "give it a name with `rapidbyte registry add NAME dir:…`, then write `NAME/source-jira`",
            );
        }
        // A range may hold anything but an `@`.
        let (place, version) = match text.split_once('@') {
            Some((place, version)) => (place, VersionSpec::parse(text, version)?),
            None => (text, VersionSpec::Newest),
        };
        let named = |name: &str| match is_name(name) {
            true => Ok(PackageName(name.to_owned())),
            false => bad(
                text,
                format!("names the package `{name}`"),
                "names are lower-case letters, digits and single dashes, such as `source-jira`",
            ),
        };
        let (registry, name) = match place.strip_prefix(OCI) {
            Some(rest) => match rest.rsplit_once('/') {
                Some((registry, name)) => (Some(format!("{OCI}{registry}").parse::<RegistryRef>()), name),
                None => {
                    return bad(text, "names no package", "write `oci://registry.example/acme/source-jira`");
                }
            },
            None => match place.split_once('/') {
                Some((alias, name)) if is_name(alias) => {
                    (Some(Ok(RegistryRef::Alias(alias.to_owned()))), name)
                }
                Some(_) => {
                    return bad(
                        text,
                        "is no package",
                        "write `NAME`, `REGISTRY/NAME`, `oci://registry.example/acme/NAME`, or a path that begins with `./`",
                    );
                }
                None => (None, place),
            },
        };
        Ok(PackageRef { registry: registry.transpose()?, name: named(name)?, version })
    }
}

impl fmt::Display for PackageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(f, "{registry}/")?;
        }
        self.name.fmt(f)?;
        match &self.version {
            VersionSpec::Newest => Ok(()),
            version => write!(f, "@{version}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(text: &str) -> PackageRef {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn packages_are_read_as_they_are_written() {
        for text in [
            "source-jira",
            "source-jira@1.2.0",
            "acme/source-jira@^1.2",
            "acme/source-jira@>=1, <3",
            "oci://registry.example/acme/team/source-jira@1.2.0-rc.1",
            "oci://localhost:5000/source-jira",
            "oci://127.0.0.1:5000/acme/source-jira",
            "oci://[::1]:5000/acme/source-jira",
            "acme/source-jira@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            assert_eq!(package(text).to_string(), text);
        }
        assert_eq!(package("source-jira@1.2.0").version, VersionSpec::Exact("1.2.0".parse().unwrap()));
        // Part of a version is a range, as in Cargo.
        assert!(matches!(package("source-jira@1.2").version, VersionSpec::Range(_)));
    }

    #[test]
    fn what_is_no_package_says_why() {
        for (text, why) in [
            ("", "names the package"),
            ("Source-Jira", "names the package"),
            ("acme/", "names the package"),
            ("a/b/c", "names the package"),
            ("source-jira@", "neither a version nor a range"),
            ("source-jira@latest", "neither a version nor a range"),
            ("source-jira@sha256:12", "a digest that is none"),
            ("dir:./registry", "is a registry"),
            ("oci://source-jira", "names no package"),
            ("oci://registry.example/../source-jira", "which no registry takes"),
            ("oci://reg istry.example/source-jira", "is no registry"),
            ("Acme/source-jira", "is no package"),
            ("oci://registry.example:0/source-jira", "is no registry"),
        ] {
            let error = text.parse::<PackageRef>().unwrap_err();
            assert!(error.to_string().contains(why), "{text}: {error}");
            assert!(!error.hint.is_empty());
        }
    }

    #[test]
    fn registries_are_aliases_servers_or_folders() {
        for (text, shown) in [
            ("acme", "acme"),
            ("registry.example/acme", "oci://registry.example/acme"),
            ("localhost", "oci://localhost"),
            ("registry:5000", "oci://registry:5000"),
            ("dir:./registry", "dir:./registry"),
        ] {
            assert_eq!(text.parse::<RegistryRef>().unwrap().to_string(), shown);
        }
        for text in ["", "dir:", "Acme", "-acme", "registry.example/Acme", "registry.example/a//b", "a b"] {
            assert!(text.parse::<RegistryRef>().is_err(), "{text}");
        }
    }

    #[test]
    fn versions_are_tags_and_back() {
        for (version, tag) in [("1.2.0", "1.2.0"), ("1.2.0-rc.1+linux.5", "1.2.0-rc.1_linux.5")] {
            let version: Version = version.parse().unwrap();
            assert_eq!(tag_of(&version), tag);
            assert_eq!(version_of(tag), Some(version));
        }
        assert!(["latest", "sha256-ab.sig", "1.2", ""].iter().all(|tag| version_of(tag).is_none()));
    }

    #[test]
    fn the_newest_that_is_asked_for_is_taken() {
        let versions: Vec<Version> =
            ["0.9.0", "1.2.0", "1.10.0", "2.0.0-rc.1"].iter().map(|text| text.parse().unwrap()).collect();
        let newest = |text: &str| {
            let newest = package(text).version.newest(&versions).map(ToString::to_string);
            newest.unwrap_or_default()
        };
        assert_eq!(newest("x"), "1.10.0");
        assert_eq!(newest("x@^1.2"), "1.10.0");
        assert_eq!(newest("x@1.2.0"), "1.2.0");
        assert_eq!(newest("x@2.0.0-rc.1"), "2.0.0-rc.1");
        assert_eq!(newest("x@^2"), "");
    }
}
