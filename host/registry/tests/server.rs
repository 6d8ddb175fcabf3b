//! The client against a real registry (Debian's, which has no referrers API) and against one that misbehaves.

use std::process::Command;

use rapidbyte_packages::blob::Incoming;
use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::folder::FolderRegistry;
use rapidbyte_packages::oci::{Descriptor, EMPTY_BLOB, EMPTY_MEDIA_TYPE, MANIFEST_MEDIA_TYPE, Manifest};
use rapidbyte_packages::registry::{self, Registry, RegistryError, Tag};
use rapidbyte_registry::{Credentials, RegistryServer, ServerOptions, ServerRegistry};
use registry_fixtures::{Answer, DockerRegistry, PASSWORD, RogueRegistry, USER};

const REPOSITORY: &str = "acme/source-a";

fn connect(host: &str) -> ServerRegistry {
    ServerRegistry::new(host, &ServerOptions::default()).unwrap()
}

fn connect_as(host: &str, password: &str) -> ServerRegistry {
    let credentials = Some(Credentials::new(USER, password));
    ServerRegistry::new(host, &ServerOptions { credentials, ..ServerOptions::default() }).unwrap()
}

async fn put(
    registry: &ServerRegistry,
    tag: Option<&str>,
    what: &str,
    subject: Option<Descriptor>,
) -> Result<Descriptor, RegistryError> {
    let config = Descriptor::of(EMPTY_MEDIA_TYPE, EMPTY_BLOB);
    registry.put_blob(REPOSITORY, &config, EMPTY_BLOB).await?;
    let mut manifest = Manifest::new("application/x", config.clone(), vec![config]);
    manifest.annotations.insert("what".to_owned(), what.to_owned());
    manifest.subject = subject;
    let tag = tag.map(|name| Tag { name, moves: false });
    registry.put_manifest(REPOSITORY, tag, MANIFEST_MEDIA_TYPE, &manifest.bytes()).await
}

#[tokio::test]
async fn what_is_pushed_is_found_by_tag_digest_and_subject() {
    let server = DockerRegistry::start(true).unwrap();
    let registry = connect_as(&server.host(), PASSWORD);
    registry.log_in().await.unwrap();
    assert_eq!(registry.tags(REPOSITORY).await.unwrap(), Vec::<String>::new());
    assert_eq!(registry.resolve(REPOSITORY, "1.0.0").await.unwrap(), None);

    let blob = vec![7u8; 3_000_000];
    let descriptor = Descriptor::of("application/wasm", &blob);
    assert!(!registry.has_blob(REPOSITORY, &descriptor).await.unwrap());
    registry.put_blob(REPOSITORY, &descriptor, &blob).await.unwrap();
    assert!(registry.has_blob(REPOSITORY, &descriptor).await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    let incoming = Incoming::new(folder.path(), &descriptor).unwrap();
    let mut counted = 0;
    registry::fetch(&registry, REPOSITORY, &descriptor, incoming, &path, &mut |bytes| counted += bytes)
        .await
        .unwrap();
    assert_eq!((std::fs::read(&path).unwrap(), counted), (blob, 3_000_000));

    let one = put(&registry, Some("1.0.0"), "one", None).await.unwrap();
    assert_eq!(registry.resolve(REPOSITORY, "1.0.0").await.unwrap().unwrap().digest, one.digest);
    assert_eq!(registry.tags(REPOSITORY).await.unwrap(), ["1.0.0"]);
    assert_eq!(registry::manifest(&registry, REPOSITORY, &one.digest).await.unwrap().len() as u64, one.size);
    let error = put(&registry, Some("1.0.0"), "two", None).await.unwrap_err();
    assert_eq!(error.code(), "version_exists");

    assert_eq!(registry.referrers(REPOSITORY, &one.digest).await.unwrap(), []);
    let about = put(&registry, None, "about", Some(one.clone())).await.unwrap();
    let referrers = registry.referrers(REPOSITORY, &one.digest).await.unwrap();
    assert_eq!(referrers.iter().map(|it| it.digest).collect::<Vec<_>>(), [about.digest]);
    assert_eq!(referrers[0].annotations["what"], "about");
}

#[tokio::test(flavor = "multi_thread")]
async fn referrers_written_at_the_same_time_are_all_found() {
    let server = DockerRegistry::start(false).unwrap();
    let one = put(&connect(&server.host()), Some("1.0.0"), "one", None).await.unwrap();
    let writers = (0..8).map(|writer| {
        let (registry, one) = (connect(&server.host()), one.clone());
        tokio::spawn(async move {
            put(&registry, None, &format!("writer {writer}"), Some(one)).await.unwrap().digest
        })
    });
    let mut written = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        written.push(writer.await.unwrap());
    }
    let found = connect(&server.host()).referrers(REPOSITORY, &one.digest).await.unwrap();
    let mut found: Vec<Digest> = found.into_iter().map(|it| it.digest).collect();
    written.sort();
    found.sort();
    assert_eq!(found, written);
}

#[tokio::test]
async fn who_may_not_is_told_so_without_the_password() {
    let server = DockerRegistry::start(true).unwrap();
    let error = connect(&server.host()).log_in().await.unwrap_err();
    assert_eq!(error.code(), "registry_unauthorized");
    assert!(error.to_string().contains("none are given"), "{error}");
    let error = connect_as(&server.host(), "a wrong one").tags(REPOSITORY).await.unwrap_err();
    assert_eq!(error.code(), "registry_unauthorized");
    assert!(!error.to_string().contains("a wrong one"), "{error}");
}

#[tokio::test]
async fn what_was_damaged_on_the_server_is_noticed() {
    let server = DockerRegistry::start(false).unwrap();
    let registry = connect(&server.host());
    let descriptor = Descriptor::of("application/wasm", b"component");
    registry.put_blob(REPOSITORY, &descriptor, b"component").await.unwrap();
    std::fs::write(server.blob_file(&descriptor.digest.hex()), b"komponent").unwrap();
    let error = registry::blob(&registry, REPOSITORY, &descriptor, 100).await.unwrap_err();
    assert_eq!(error.code(), "blob_digest");
}

#[tokio::test]
async fn nobody_there_is_said_after_some_tries() {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let error = connect(&free.to_string()).tags(REPOSITORY).await.unwrap_err();
    assert_eq!(error.code(), "registry_unreachable");
    assert!(error.to_string().contains("refused"), "{error}");
}

/// What asking a rogue comes to, and how often it was asked.
async fn blob_of(
    answer: impl FnMut(&str, &str) -> Answer + Send + 'static,
    content: &[u8],
) -> (Result<Vec<u8>, RegistryError>, usize) {
    let rogue = RogueRegistry::start(answer).unwrap();
    let descriptor = Descriptor::of("application/wasm", content);
    let result = registry::blob(&connect(&rogue.host()), REPOSITORY, &descriptor, 1 << 20).await;
    (result, rogue.requests().len())
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_was() {
    let length = |bytes: usize| vec![("Content-Length".to_owned(), bytes.to_string())];
    let (result, asked) = blob_of(
        move |_, headers| match headers.to_ascii_lowercase().contains("range: bytes=4-") {
            false => Answer::Cut { headers: length(9), body: b"comp".to_vec() },
            true => Answer::Whole { status: 206, headers: vec![], body: b"onent".to_vec() },
        },
        b"component",
    )
    .await;
    assert_eq!((result.unwrap(), asked), (b"component".to_vec(), 2));
    // A server that knows no ranges begins anew.
    let mut first = true;
    let (result, _) = blob_of(
        move |_, _| match std::mem::take(&mut first) {
            true => Answer::Cut {
                headers: vec![("Content-Length".to_owned(), "9".to_owned())],
                body: b"comp".to_vec(),
            },
            false => Answer::body("component"),
        },
        b"component",
    )
    .await;
    assert_eq!(result.unwrap(), b"component");
    // One that never gets through is given up.
    let (result, asked) = blob_of(
        |_, _| Answer::Cut {
            headers: vec![("Content-Length".to_owned(), "9".to_owned())],
            body: b"".to_vec(),
        },
        b"component",
    )
    .await;
    assert_eq!((result.unwrap_err().code(), asked), ("registry_unreachable", 4));
}

#[tokio::test]
async fn too_much_too_little_and_something_else_are_refused() {
    assert_eq!(blob_of(|_, _| Answer::Endless, b"component").await.0.unwrap_err().code(), "blob_too_long");
    assert_eq!(
        blob_of(|_, _| Answer::body("component!"), b"component").await.0.unwrap_err().code(),
        "blob_too_long"
    );
    assert_eq!(
        blob_of(|_, _| Answer::body("compo"), b"component").await.0.unwrap_err().code(),
        "registry_unreachable"
    );
    assert_eq!(
        blob_of(|_, _| Answer::body("komponent"), b"component").await.0.unwrap_err().code(),
        "blob_digest"
    );
    assert_eq!(
        blob_of(|_, _| Answer::status(404), b"component").await.0.unwrap_err().code(),
        "registry_not_found"
    );
    let (result, asked) = blob_of(|_, _| Answer::status(503), b"component").await;
    assert_eq!((result.unwrap_err().code(), asked), ("registry_unreachable", 4));
    let (result, asked) = blob_of(|_, _| Answer::status(403), b"component").await;
    assert_eq!((result.unwrap_err().code(), asked), ("registry_refused", 1));
}

#[tokio::test]
async fn manifests_and_lists_are_bounded_and_read_strictly() {
    let rogue = RogueRegistry::start(|first, _| match first.contains("/tags/") {
        true => Answer::body("<html>"),
        false => Answer::Endless,
    })
    .unwrap();
    let registry = connect(&rogue.host());
    assert_eq!(registry.resolve(REPOSITORY, "1.0.0").await.unwrap_err().code(), "registry_malformed");
    assert_eq!(registry.tags(REPOSITORY).await.unwrap_err().code(), "registry_malformed");
    let error = registry::manifest(&registry, REPOSITORY, &Digest::of(b"x")).await.unwrap_err();
    assert_eq!(error.code(), "registry_malformed");
    assert!(error.to_string().contains("longer than"), "{error}");
}

#[tokio::test]
async fn a_manifest_whose_blobs_are_not_found_yet_is_put_again() {
    let unknown = || Answer::Whole {
        status: 400,
        headers: vec![],
        body: br#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#
            .to_vec(),
    };
    let mut first = true;
    let rogue = RogueRegistry::start(move |line, _| match line {
        _ if line.starts_with("HEAD") => Answer::body("{}"),
        _ if !line.starts_with("PUT") => Answer::status(404),
        _ if std::mem::take(&mut first) => unknown(),
        _ => Answer::status(201),
    })
    .unwrap();
    put(&connect(&rogue.host()), Some("1.0.0"), "one", None).await.unwrap();
    // One that never finds them is given up.
    let rogue = RogueRegistry::start(move |line, _| match line {
        _ if line.starts_with("HEAD") => Answer::body("{}"),
        _ if !line.starts_with("PUT") => Answer::status(404),
        _ => unknown(),
    })
    .unwrap();
    let error = put(&connect(&rogue.host()), Some("1.0.0"), "one", None).await.unwrap_err();
    assert_eq!(error.code(), "registry_refused");
    assert_eq!(rogue.requests().iter().filter(|request| request.starts_with("PUT")).count(), 4);
}

#[tokio::test]
async fn redirects_lead_blobs_to_other_servers_and_nothing_else() {
    let elsewhere = RogueRegistry::start(|_, _| Answer::body("component")).unwrap();
    let to = format!("http://{}/cdn/blob?signature=secret", elsewhere.host());
    let rogue = RogueRegistry::start(move |_, _| Answer::redirect(&to)).unwrap();
    let registry = connect_as(&rogue.host(), PASSWORD);
    let descriptor = Descriptor::of("application/wasm", b"component");
    let blob = registry::blob(&registry, REPOSITORY, &descriptor, 100).await.unwrap();
    assert_eq!(blob, b"component");
    assert!(
        elsewhere.requests().iter().all(|request| !request.to_ascii_lowercase().contains("authorization"))
    );
    let error = registry.tags(REPOSITORY).await.unwrap_err();
    assert_eq!(error.code(), "registry_refused");
    assert!(
        error.to_string().contains("leads elsewhere") && !error.to_string().contains("secret"),
        "{error}"
    );
    assert_eq!(registry.resolve(REPOSITORY, "1.0.0").await.unwrap_err().code(), "registry_refused");
    let error = registry.put_blob(REPOSITORY, &descriptor, b"component").await.unwrap_err();
    assert_eq!(error.code(), "registry_refused");

    let round = RogueRegistry::start(|_, _| Answer::redirect("/v2/again/blobs/x")).unwrap();
    let error = registry::blob(&connect(&round.host()), REPOSITORY, &descriptor, 100).await.unwrap_err();
    assert!(error.to_string().contains("redirects more than"), "{error}");
}

#[tokio::test]
async fn a_token_is_fetched_and_used_again() {
    // The token service is the registry itself.
    let rogue = RogueRegistry::start(|first, headers| {
        let headers = headers.to_ascii_lowercase();
        if first.contains("/token") {
            let whole = first.contains("scope=repository%3Aacme%2Fsource-a%3Apull")
                && headers.contains("authorization: basic");
            return Answer::body(if whole { r#"{"token":"abc"}"# } else { "{}" });
        }
        if headers.contains("authorization: bearer abc") {
            return Answer::body(r#"{"tags":["1.0.0"]}"#);
        }
        let host =
            headers.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"tests\"");
        Answer::Whole { status: 401, headers: vec![("WWW-Authenticate".to_owned(), challenge)], body: vec![] }
    })
    .unwrap();
    let registry = connect_as(&rogue.host(), PASSWORD);
    assert_eq!(registry.tags(REPOSITORY).await.unwrap(), ["1.0.0"]);
    assert_eq!(registry.tags(REPOSITORY).await.unwrap(), ["1.0.0"]);
    assert_eq!(rogue.requests().iter().filter(|request| request.contains("/token")).count(), 1);
}

/// The embedded registry over a folder, on a port of its own.
async fn embedded(folder: &std::path::Path, writable: bool) -> String {
    let server = RegistryServer::bind(([127, 0, 0, 1], 0).into(), folder.to_owned(), writable).await.unwrap();
    let address = server.address().unwrap();
    tokio::spawn(server.serve());
    address.to_string()
}

#[tokio::test]
async fn the_embedded_registry_keeps_what_it_is_given_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let registry = connect(&embedded(folder.path(), true).await);
    registry.log_in().await.unwrap();
    assert_eq!(registry.tags(REPOSITORY).await.unwrap(), Vec::<String>::new());
    let blob = vec![7u8; 3_000_000];
    let descriptor = Descriptor::of("application/wasm", &blob);
    registry.put_blob(REPOSITORY, &descriptor, &blob).await.unwrap();
    let one = put(&registry, Some("1.0.0"), "one", None).await.unwrap();
    let about = put(&registry, None, "about", Some(one.clone())).await.unwrap();

    let again = connect(&embedded(folder.path(), false).await);
    assert_eq!(registry::blob(&again, REPOSITORY, &descriptor, 1 << 30).await.unwrap(), blob);
    assert_eq!(again.tags(REPOSITORY).await.unwrap(), ["1.0.0"]);
    // By its own API, not by tags.
    let referrers = again.referrers(REPOSITORY, &one.digest).await.unwrap();
    assert_eq!(referrers.iter().map(|it| it.digest).collect::<Vec<_>>(), [about.digest]);
    let error = put(&again, Some("1.1.0"), "two", None).await.unwrap_err();
    assert_eq!(error.code(), "registry_refused");
    assert!(error.to_string().contains("read-only"), "{error}");
    // The folder is a registry by itself.
    let as_folder = FolderRegistry::new(folder.path());
    assert_eq!(as_folder.resolve(REPOSITORY, "1.0.0").await.unwrap().unwrap().digest, one.digest);
}

#[tokio::test]
async fn the_embedded_registry_refuses_what_is_not_whole() {
    let folder = tempfile::tempdir().unwrap();
    let registry = connect(&embedded(folder.path(), true).await);
    let absent = Descriptor::of("application/wasm", b"never uploaded");
    let manifest = Manifest::new("application/x", absent.clone(), vec![absent.clone()]);
    let tag = Some(Tag { name: "1.0.0", moves: false });
    let error =
        registry.put_manifest(REPOSITORY, tag, MANIFEST_MEDIA_TYPE, &manifest.bytes()).await.unwrap_err();
    assert!(error.to_string().contains("is not here"), "{error}");
    // Something else than its digest says.
    let error = registry.put_blob(REPOSITORY, &absent, b"something else").await.unwrap_err();
    assert!(error.to_string().contains("DIGEST_INVALID"), "{error}");
    assert!(!registry.has_blob(REPOSITORY, &absent).await.unwrap());
    for strange in ["../escape", "Upper", "a//b"] {
        assert_eq!(
            registry.put_blob(strange, &absent, b"never uploaded").await.unwrap_err().code(),
            match strange {
                // Joined by the client to another path, which is none of the protocol.
                "../escape" => "registry_not_found",
                _ => "registry_refused",
            }
        );
    }
    let error = registry.put_manifest(REPOSITORY, tag, "text/plain", b"{}").await.unwrap_err();
    assert!(error.to_string().contains("is not taken here"), "{error}");
}

/// Others' tools carry what we make: from the folder to the embedded registry and back, byte for byte.
#[tokio::test(flavor = "multi_thread")]
async fn skopeo_copies_what_is_published() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let host = embedded(one.path(), true).await;
    let published = put(&connect(&host), Some("1.0.0"), "one", None).await.unwrap();
    let target = format!("oci:{}:1.0.0", two.path().join("copy").display());
    let output = tokio::task::spawn_blocking(move || {
        let source = format!("docker://{host}/{REPOSITORY}:1.0.0");
        Command::new("skopeo").args(["copy", "--src-tls-verify=false", &source, &target]).output().unwrap()
    });
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let copy = FolderRegistry::new(two.path());
    assert_eq!(copy.resolve("copy", "1.0.0").await.unwrap().unwrap().digest, published.digest);
}
