//! What a version was built of and how, as the predicate of SLSA provenance. It is the publisher's own word (SLSA's level 1):
//! signed, it says who says so, and nothing more.

use rapidbyte_packages::digest::Digest;
use serde_json::{Value, json};

pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
const BUILD_TYPE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/connector-build/v1");
const BUILDER: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/connector-publish");

/// Where the sources came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `git+https://git.example/acme/source-jira`; none where the repository names no origin.
    pub uri: Option<String>,
    pub commit: String,
    /// The project's folder in it.
    pub path: String,
}

/// What is known of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// None: the sources are in no version control, or differ from what is.
    pub source: Option<Source>,
    /// `rust`, `python`, `javascript`; none of a component that was built elsewhere.
    pub language: Option<&'static str>,
    /// Names and versions of what compiled it.
    pub tools: Vec<(String, String)>,
    /// Platforms that native code was made for.
    pub targets: Vec<String>,
}

/// The predicate.
pub fn predicate(id: &str, component: &Digest, sbom: &Digest, build: &Build) -> Value {
    let resolved: Vec<Value> = build
        .source
        .iter()
        .map(|source| {
            let mut dependency = json!({ "digest": { "gitCommit": source.commit } });
            if let Some(uri) = &source.uri {
                dependency["uri"] = json!(uri);
            }
            dependency
        })
        .collect();
    let tools: serde_json::Map<String, Value> =
        build.tools.iter().map(|(name, version)| (name.clone(), json!(version))).collect();
    json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "connector": id,
                "path": build.source.as_ref().map(|source| source.path.as_str()),
                "language": build.language,
                "nativeTargets": build.targets,
            },
            "internalParameters": { "tools": tools },
            "resolvedDependencies": resolved,
        },
        "runDetails": {
            "builder": { "id": BUILDER, "version": { "rapidbyte": env!("CARGO_PKG_VERSION") } },
            "byproducts": [
                { "name": "component", "digest": { "sha256": component.hex() } },
                { "name": "sbom", "digest": { "sha256": sbom.hex() } },
            ],
        },
    })
}

/// A repository's origin without what may be a secret in it, as a URI; none of what is no address others can reach.
pub fn origin_uri(remote: &str) -> Option<String> {
    let (scheme, rest) = match remote.split_once("://") {
        Some((scheme @ ("https" | "http" | "ssh" | "git"), rest)) => (scheme, rest.to_owned()),
        Some(_) => return None,
        // `git@git.example:acme/source-jira`
        None => match remote.split_once(':') {
            Some((host, path)) if host.contains('@') => ("ssh", format!("{host}/{path}")),
            _ => return None,
        },
    };
    let (authority, path) = rest.split_once('/')?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // A query could hold a token, too.
    let path = path.split(['?', '#']).next().unwrap_or_default();
    (!host.is_empty()).then(|| format!("git+{scheme}://{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_an_origin_is_published() {
        let cases = [
            ("https://git.example/acme/a.git", Some("git+https://git.example/acme/a.git")),
            ("https://user:token@git.example/acme/a", Some("git+https://git.example/acme/a")),
            ("https://git.example/acme/a?token=x", Some("git+https://git.example/acme/a")),
            ("git@git.example:acme/a.git", Some("git+ssh://git.example/acme/a.git")),
            ("ssh://git@git.example:2222/acme/a", Some("git+ssh://git.example:2222/acme/a")),
            ("/home/me/secret-project", None),
            ("file:///home/me/secret-project", None),
            ("../a", None),
        ];
        for (remote, uri) in cases {
            assert_eq!(origin_uri(remote).as_deref(), uri, "{remote}");
        }
    }

    #[test]
    fn it_names_the_commit_and_the_bill_of_materials() {
        let (component, sbom) = (Digest::of(b"component"), Digest::of(b"sbom"));
        let source = Source {
            uri: origin_uri("https://git.example/a"),
            commit: "c0ffee".to_owned(),
            path: ".".to_owned(),
        };
        let build = Build { source: Some(source), language: Some("rust"), ..Build::default() };
        let predicate = predicate("source-a@0.1.0", &component, &sbom, &build);
        assert_eq!(
            predicate.pointer("/buildDefinition/resolvedDependencies/0/digest/gitCommit").unwrap(),
            "c0ffee"
        );
        assert_eq!(predicate.pointer("/runDetails/byproducts/1/digest/sha256").unwrap(), &sbom.hex());
        let unknown = super::predicate("source-a@0.1.0", &component, &sbom, &Build::default());
        assert_eq!(unknown.pointer("/buildDefinition/resolvedDependencies").unwrap(), &json!([]));
    }
}
