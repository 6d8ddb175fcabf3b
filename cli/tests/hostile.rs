//! Registries, archives and disks that are not what they should be: each ends with an error code of its own, and leaves what was
//! installed before.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rapidbyte_packages::folder::FolderRegistry;
use rapidbyte_packages::oci::{Descriptor, MANIFEST_MEDIA_TYPE, Manifest};
use rapidbyte_packages::package::Packed;
use registry_fixtures::{Answer, DockerRegistry, RogueRegistry};
use serde_json::Value;
use support::registry::{component, packed, publish, publish_to, push, version, with_manifest};
use support::{Outcome, Project, RAPIDBYTE, isolate};

fn source() -> Vec<u8> {
    version(&component("source-file"), "1.0.0")
}

/// A project that asks nobody who signed what, so that what fails is what the test is about.
fn project() -> Project {
    let project = Project::new();
    let config = project.home().join(".rapidbyte/config.toml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    project.write("registry/.keep", "");
    std::fs::write(
        config,
        format!(
            "[registries.local]\nurl = \"dir:{}\"\n[trust]\nlevel = \"off\"\n",
            project.path("registry").display()
        ),
    )
    .unwrap();
    project
}

fn add(project: &Project, reference: &str) -> Outcome {
    project.rapidbyte(["connectors", "add", reference, "--yes", "--format", "json"]).run()
}

#[track_caller]
fn refused(outcome: Outcome, exit: i32, expected: &str) -> Outcome {
    let outcome = outcome.expect(exit);
    let json: Value = serde_json::from_str(&outcome.json()).expect("JSON");
    assert_eq!(json["error"]["code"], expected, "{}", outcome.text());
    outcome
}

fn store(project: &Project) -> PathBuf {
    project.home().join(".rapidbyte/plugins")
}

/// Blobs in the store, finished or not.
fn stored(project: &Project) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(store(project).join("blobs/sha256")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn nothing_is_installed(project: &Project) {
    assert!(!project.path("rapidbyte.lock").exists());
    assert!(!store(project).join("packages").exists());
    let kept = stored(project);
    assert!(kept.iter().all(|name| !name.starts_with(".incoming")), "{kept:?}");
}

/// A byte of a file, flipped.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_byte_is_noticed_wherever_it_is() {
    type Part = fn(&Packed) -> String;
    let parts: [(&str, Part); 3] = [
        ("manifest", |packed| packed.digest.hex()),
        ("config", |packed| packed.config_descriptor.digest.hex()),
        ("layer", |packed| packed.layer.digest.hex()),
    ];
    for (part, digest) in parts {
        let project = project();
        let packed = publish(&project.path("registry"), &source());
        flip(&project.path("registry/source-file/blobs/sha256").join(digest(&packed)));
        let outcome = refused(add(&project, "local/source-file"), 9, "blob_digest");
        assert!(outcome.stderr.contains(&digest(&packed)[..8]), "{part}: {}", outcome.text());
        nothing_is_installed(&project);
    }
    // The same from servers: Debian's registry, and the embedded one.
    let server = DockerRegistry::start(false).unwrap();
    let packed = publish_to(&server.host(), None, "", &source());
    flip(&server.blob_file(&packed.layer.digest.hex()));
    let project = project();
    refused(add(&project, &format!("oci://{}/source-file", server.host())), 9, "blob_digest");
    nothing_is_installed(&project);
    let mut embedded =
        project.rapidbyte(["registry", "serve", "registry", "--listen", "127.0.0.1:0"]).start();
    embedded.wait_until_it_says("Serving");
    let address =
        embedded.said().split(" on ").nth(1).and_then(|rest| rest.split(';').next()).unwrap().to_owned();
    let packed = publish_to(&address, None, "acme", &source());
    flip(&project.path("registry/acme/source-file/blobs/sha256").join(packed.config_descriptor.digest.hex()));
    refused(add(&project, &format!("oci://{address}/acme/source-file")), 9, "blob_digest");
    nothing_is_installed(&project);
    embedded.signal("-TERM");
    embedded.wait();
}

/// Publishes a package whose manifest was changed; its tag and digest are right.
fn publish_odd(project: &Project, edit: impl FnOnce(&mut Manifest)) {
    let component = source();
    let packed = packed(&component);
    let mut manifest = Manifest::read(&packed.manifest).unwrap();
    edit(&mut manifest);
    let odd = Packed { manifest: manifest.bytes(), ..packed };
    push(&FolderRegistry::new(project.path("registry")), "", &component, &odd, false);
}

#[test]
fn packages_that_are_none_say_why() {
    type Edit = fn(&mut Manifest);
    let cases: [(&str, i32, Edit); 5] = [
        ("package_no_connector", 5, |manifest| manifest.artifact_type = Some("application/x".to_owned())),
        ("package_layers", 5, |manifest| manifest.layers.push(manifest.layers[0].clone())),
        ("package_too_large", 5, |manifest| manifest.layers[0].size = 1 << 40),
        ("package_too_large", 5, |manifest| manifest.config.size = 1 << 40),
        ("blob_too_long", 6, |manifest| manifest.layers[0].size -= 1),
    ];
    for (code, exit, edit) in cases {
        let project = project();
        publish_odd(&project, edit);
        refused(add(&project, "local/source-file"), exit, code);
        nothing_is_installed(&project);
    }
    let project = project();
    publish_odd(&project, |manifest| manifest.layers[0].size += 1);
    refused(add(&project, "local/source-file"), 6, "blob_too_short");
    nothing_is_installed(&project);
}

#[test]
fn titles_lead_nowhere() {
    let project = project();
    publish_odd(&project, |manifest| {
        let title = manifest.layers[0].annotations.get_mut("org.opencontainers.image.title").unwrap();
        *title = "../../../escaped.wasm".to_owned();
    });
    // Where a component lies is its digest's business.
    add(&project, "local/source-file").expect(0);
    let mut names = stored(&project);
    names.sort();
    assert_eq!(names.len(), 3);
    assert!(names.iter().all(|name| name.len() == 64), "{names:?}");
    assert!(!project.home().join("escaped.wasm").exists() && !project.path("escaped.wasm").exists());
}

#[test]
fn a_package_that_claims_less_than_its_component_does_is_refused() {
    let project = project();
    let component = source();
    let innocent =
        with_manifest(&component, |manifest| manifest["capabilities"]["filesystem"] = Value::Array(vec![]));
    // The config of the innocent one, the layer of the other.
    let (claimed, real) = (packed(&innocent), packed(&component));
    let config: Value = serde_json::from_slice(&claimed.config).unwrap();
    let mut config = config;
    config["layerDigests"] = serde_json::json!([real.layer.digest.to_string()]);
    let config = serde_json::to_vec(&config).unwrap();
    let mut manifest = Manifest::read(&real.manifest).unwrap();
    manifest.config = Descriptor::of(&manifest.config.media_type.clone(), &config);
    let lying =
        Packed { manifest: manifest.bytes(), config_descriptor: manifest.config.clone(), config, ..real };
    push(&FolderRegistry::new(project.path("registry")), "", &component, &lying, false);
    refused(add(&project, "local/source-file"), 9, "package_config_lies");
    nothing_is_installed(&project);
    assert_eq!(stored(&project), Vec::<String>::new());
}

#[test]
fn another_package_under_the_name_is_refused() {
    let project = project();
    let component = with_manifest(&source(), |manifest| manifest["name"] = "source-other".into());
    let folder = project.path("registry");
    publish(&folder, &component);
    std::fs::rename(folder.join("source-other"), folder.join("source-file")).unwrap();
    refused(add(&project, "local/source-file"), 5, "package_name");
}

/// A registry that serves a package over HTTP and answers for its component as it is told.
fn rogue(component: Vec<u8>, mut layer: impl FnMut(&str) -> Answer + Send + 'static) -> RogueRegistry {
    let packed = packed(&component);
    let whole = |body: Vec<u8>, kind: &str| Answer::Whole {
        status: 200,
        headers: vec![("Content-Type".to_owned(), kind.to_owned())],
        body,
    };
    RogueRegistry::start(move |first, headers| match first {
        _ if first.contains("/tags/list") => Answer::body(r#"{"name":"source-file","tags":["1.0.0"]}"#),
        _ if first.contains("/manifests/1.0.0") || first.contains(&packed.digest.hex()) => {
            whole(packed.manifest.clone(), MANIFEST_MEDIA_TYPE)
        }
        _ if first.contains(&packed.config_descriptor.digest.hex()) => Answer::body(packed.config.clone()),
        _ if first.contains(&packed.layer.digest.hex()) => layer(headers),
        _ => Answer::status(404),
    })
    .unwrap()
}

#[test]
fn servers_that_misbehave_are_given_up_and_leave_no_trace() {
    let elsewhere = RogueRegistry::start(|_, _| Answer::body("not what was asked for")).unwrap();
    let to = format!("http://{}/stolen", elsewhere.host());
    let length = |bytes: usize| vec![("Content-Length".to_owned(), bytes.to_string())];
    let component = source();
    let bytes = component.len();
    type Script = Box<dyn FnMut(&str) -> Answer + Send>;
    let cases: Vec<(&str, i32, Script)> = vec![
        ("blob_too_long", 6, Box::new(|_| Answer::Endless)),
        ("registry_unreachable", 6, Box::new(|_| Answer::body("short"))),
        (
            "registry_unreachable",
            6,
            Box::new(move |_| Answer::Cut { headers: length(bytes), body: vec![0; 1000] }),
        ),
        ("blob_too_long", 6, Box::new(move |_| Answer::body(vec![0; bytes + 1]))),
        ("blob_digest", 9, Box::new(move |_| Answer::body(vec![0; bytes]))),
        ("registry_unreachable", 6, Box::new(|_| Answer::status(503))),
        ("registry_refused", 6, Box::new(|_| Answer::status(403))),
        ("registry_unreachable", 6, Box::new(move |_| Answer::redirect(&to))),
        ("registry_refused", 6, Box::new(|_| Answer::redirect("ftp://registry.example/blob"))),
    ];
    for (code, exit, script) in cases {
        let project = project();
        let rogue = rogue(component.clone(), script);
        refused(add(&project, &format!("oci://{}/source-file", rogue.host())), exit, code);
        nothing_is_installed(&project);
    }
}

#[test]
fn a_registry_that_fails_half_way_and_recovers_is_gone_on_with() {
    let component = source();
    let bytes = component.clone();
    let mut broken = false;
    let rogue = rogue(component, move |headers| {
        let half = bytes.len() / 2;
        if !std::mem::replace(&mut broken, true) {
            let headers = vec![("Content-Length".to_owned(), bytes.len().to_string())];
            return Answer::Cut { headers, body: bytes[..half].to_vec() };
        }
        let range = headers.to_ascii_lowercase();
        let from =
            range.split("bytes=").nth(1).and_then(|rest| rest.split('-').next()?.parse::<usize>().ok());
        let from = from.expect("it goes on where it was");
        Answer::Whole { status: 206, headers: vec![], body: bytes[from..].to_vec() }
    });
    let project = project();
    add(&project, &format!("oci://{}/source-file", rogue.host())).expect(0);
    assert_eq!(stored(&project).len(), 3);
}

#[test]
fn what_was_installed_outlives_what_fails() {
    let project = project();
    publish(&project.path("registry"), &source());
    add(&project, "local/source-file").expect(0);
    let locked = std::fs::read(project.path("rapidbyte.lock")).unwrap();
    let newer = version(&source(), "1.1.0");
    let rogue = RogueRegistry::start(|_, _| Answer::status(500)).unwrap();
    refused(add(&project, &format!("oci://{}/source-file", rogue.host())), 6, "registry_unreachable");
    let packed = publish(&project.path("registry"), &newer);
    flip(&project.path("registry/source-file/blobs/sha256").join(packed.layer.digest.hex()));
    refused(
        project.rapidbyte(["connectors", "update", "--all", "--yes", "--format", "json"]).run(),
        9,
        "blob_digest",
    );
    assert_eq!(std::fs::read(project.path("rapidbyte.lock")).unwrap(), locked);
    project.rapidbyte(["connectors", "verify", "source-file@1.0.0"]).run().expect(0);
}

#[test]
fn a_store_that_was_damaged_is_noticed_and_mended() {
    let project = project();
    publish(&project.path("registry"), &source());
    let installed: Value =
        serde_json::from_str(&add(&project, "local/source-file").expect(0).json()).unwrap();
    let component =
        installed["installed"][0]["component"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let blob = store(&project).join("blobs/sha256").join(&component);
    flip(&blob);
    let command = |arguments: &[&str]| project.rapidbyte(arguments.iter().chain(&["--format", "json"])).run();
    refused(
        command(&["connectors", "add", "source-file", "--offline", "--registry", "local"]),
        4,
        "store_damaged",
    );
    // It was removed, so nothing is there now; with a registry it is fetched again.
    refused(command(&["connectors", "verify", "source-file", "--offline"]), 4, "store_damaged");
    command(&["connectors", "add", "--locked"]).expect(0);
    command(&["connectors", "verify", "source-file", "--offline"]).expect(0);
    // What is known of it can be damaged, too.
    for entry in std::fs::read_dir(store(&project).join("blobs/sha256")).unwrap() {
        flip(&entry.unwrap().path());
    }
    refused(command(&["connectors", "add", "--locked", "--offline"]), 4, "store_damaged");
    command(&["connectors", "add", "--locked"]).expect(0);
    let record = walk(&store(&project).join("packages"));
    std::fs::write(&record[0], "{").unwrap();
    let outcome = refused(command(&["connectors", "list"]), 4, "store_damaged");
    assert!(outcome.stderr.contains("remove that file"), "{}", outcome.text());
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// `ulimit` makes files of more than 1 MB fail as a full disk does; whoever ignores the signal gets the error.
#[cfg(unix)]
#[test]
fn a_full_disk_is_said_and_nothing_is_half_installed() {
    let project = project();
    publish(&project.path("registry"), &source());
    let mut command = Command::new("sh");
    isolate(&mut command, &project.home());
    command.current_dir(project.root()).stdin(Stdio::null());
    command.args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$@\"", "sh", RAPIDBYTE]);
    command.args(["connectors", "add", "local/source-file", "--yes", "--format", "json"]);
    let output = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(4), "{stdout}{stderr}");
    let json: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(json["error"]["code"], "disk_full", "{stderr}");
    assert!(stderr.contains("connectors gc"), "{stderr}");
    nothing_is_installed(&project);
    add(&project, "local/source-file").expect(0);
}

#[test]
fn several_processes_install_at_once_and_lose_nothing() {
    let project = project();
    let names = ["source-a", "source-b", "source-c", "source-d"];
    for name in names {
        let component = with_manifest(&source(), |manifest| manifest["name"] = name.into());
        publish(&project.path("registry"), &component);
    }
    publish(&project.path("registry"), &source());
    let add = |name: &str| {
        let reference = format!("local/{name}");
        // Each brings one of its own, and all bring the same one.
        project
            .rapidbyte(["connectors", "add", reference.as_str(), "local/source-file", "--yes", "--quiet"])
            .start()
    };
    let running: Vec<_> = names.into_iter().map(add).collect();
    let cleaning: Vec<_> =
        (0..3).map(|_| project.rapidbyte(["connectors", "gc", "--quiet"]).start()).collect();
    for one in running {
        one.wait().expect(0);
    }
    for one in cleaning {
        one.wait().expect(0);
    }
    let lock = std::fs::read_to_string(project.path("rapidbyte.lock")).unwrap();
    for name in names.into_iter().chain(["source-file"]) {
        assert!(lock.contains(&format!("name = \"{name}\"")), "{lock}");
        project.rapidbyte(["connectors", "verify", name, "--offline"]).run().expect(0);
    }
}

#[test]
fn packages_travel_in_one_file_to_where_there_is_no_network() {
    let project = project();
    publish(&project.path("registry"), &source());
    add(&project, "local/source-file").expect(0);
    let bundled = project.rapidbyte(["connectors", "bundle", "--output", "connectors.tar"]).run();
    assert_outcome!("connectors_bundle", bundled.expect(0));
    let first = std::fs::read(project.path("connectors.tar")).unwrap();
    project.rapidbyte(["connectors", "bundle", "-o", "connectors.tar"]).run().expect(0);
    assert_eq!(
        std::fs::read(project.path("connectors.tar")).unwrap(),
        first,
        "the same packages, the same file"
    );

    let far = Project::new();
    far.write("connectors.tar", &first);
    refused(
        far.rapidbyte(["connectors", "add", "connectors.tar", "--format", "json"]).run(),
        9,
        "capabilities_not_reviewed",
    );
    assert_outcome!(
        "connectors_add_bundle",
        far.rapidbyte(["connectors", "add", "connectors.tar", "--yes", "--offline"])
            .filter(&project.path("registry").display().to_string(), "[REGISTRY]")
            .run()
            .expect(0)
    );
    far.rapidbyte(["connectors", "verify", "source-file@1.0.0", "--offline"]).run().expect(0);
}

#[test]
fn bundles_that_were_tampered_with_install_nothing() {
    let project = project();
    publish(&project.path("registry"), &source());
    add(&project, "local/source-file").expect(0);
    project.rapidbyte(["connectors", "bundle", "-o", "connectors.tar"]).run().expect(0);
    let good = std::fs::read(project.path("connectors.tar")).unwrap();

    let far = self::project();
    let refuse = |bytes: &[u8], exit: i32, code: &str| {
        far.write("odd.tar", bytes);
        refused(
            far.rapidbyte(["connectors", "add", "odd.tar", "--yes", "--format", "json"]).run(),
            exit,
            code,
        );
        nothing_is_installed(&far);
    };
    refuse(b"not an archive", 5, "bundle_malformed");
    refuse(&good[..good.len() / 2], 5, "bundle_malformed");
    refuse(&entry("../../escaped", b"x"), 5, "bundle_malformed");
    refuse(&entry("/tmp/escaped", b"x"), 5, "bundle_malformed");
    refuse(&entry("bundle.json", b"{}"), 5, "bundle_malformed");
    for (folder, repository) in
        [("../..", "source-a"), ("0", "../../source-a"), ("0", "/etc"), ("0", "acme/source-a")]
    {
        let evil = format!(
            r#"{{"version":1,"packages":[{{"name":"source-a","version":"1.0.0","source":"dir:/x","repository":"{repository}","manifest":"sha256:{}","folder":"{folder}"}}]}}"#,
            "0".repeat(64)
        );
        refuse(&entry("bundle.json", evil.as_bytes()), 5, "bundle_malformed");
    }
    // A byte of the component.
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    refuse(&flipped, 9, "blob_digest");
    assert!(!far.path("escaped").exists() && !far.home().join("escaped").exists());
}

/// An archive with one file, whatever its name.
fn entry(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[156] = b'0';
    header[257..263].copy_from_slice(b"ustar\0");
    header[263..265].copy_from_slice(b"00");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    header[154] = 0;
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(512 * archive.len().div_ceil(512) + 1024, 0);
    archive
}
