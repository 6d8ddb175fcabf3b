//! Publishing as authors see it: keys, what is refused and why, what is pushed, and that an operator who trusts the key can install
//! it. With real components, the suite in between, folders and Debian's registry.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use registry_fixtures::{DockerRegistry, PASSWORD, USER};
use serde_json::Value;
use support::registry::{component, with_manifest};
use support::{Invocation, Outcome, Project, repository};

const KEY_PASSWORD: &str = "a password of the tests";

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.json()).expect("JSON")
}

fn code(outcome: &Outcome) -> String {
    json(outcome)["error"]["code"]
        .as_str()
        .unwrap_or_else(|| panic!("no error: {}", outcome.text()))
        .to_owned()
}

fn generate(project: &Project, name: &str) -> Invocation {
    project.rapidbyte(["key", "generate", "--output", name]).env("COSIGN_PASSWORD", KEY_PASSWORD)
}

/// A component in the project that passes the suite quickly, with the fixture of its crate.
fn mask(project: &Project, edit: impl FnOnce(&mut Value)) {
    project.write("transform-mask.wasm", with_manifest(&component("transform-mask"), edit));
}

fn publish(project: &Project, arguments: &[&str]) -> Invocation {
    let fixture = repository().join("connectors/transform-mask/conformance.yaml");
    let fixture = fixture.to_str().expect("a path in Unicode");
    let fixed = ["connector", "publish", "transform-mask.wasm", "--config-file", fixture];
    project.rapidbyte(fixed.iter().chain(arguments)).env("COSIGN_PASSWORD", KEY_PASSWORD)
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(arguments);
    let output = command.output().expect("git starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn keys_are_made_once_and_read_by_others() {
    let project = Project::new();
    let made = generate(&project, "acme").filter(r"SHA256:[A-Za-z0-9+/]{43}", "[FINGERPRINT]");
    assert_outcome!("key_generate", made.run().expect(0));
    assert_outcome!("key_exists", generate(&project, "acme").run().expect(2));
    let no_password = project.rapidbyte(["key", "generate"]).run().expect(2);
    assert_outcome!("key_no_password", no_password);
    let private = std::fs::read_to_string(project.path("acme.key")).unwrap();
    assert!(private.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"), "{private}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(project.path("acme.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let public = project.path("acme.pub");
    let openssl =
        Command::new("openssl").args(["pkey", "-pubin", "-noout", "-text", "-in"]).arg(public).output();
    let said = openssl.expect("openssl starts");
    assert!(String::from_utf8_lossy(&said.stdout).contains("prime256v1"), "{said:?}");
}

#[test]
fn what_is_published_is_installed_by_who_trusts_the_key() {
    let project = Project::new();
    mask(&project, |_| {});
    generate(&project, "acme").run().expect(0);
    let target = "x86_64-unknown-linux-gnu";
    let signed = ["--registry", "dir:registry", "--key", "acme.key", "--target", target];

    // What would be pushed, and nothing pushed.
    let dry = publish(&project, &[&signed[..], &["--dry-run", "--format", "json"]].concat()).run().expect(0);
    assert!(!project.path("registry").exists(), "a dry run pushes nothing");
    let planned = json(&dry);
    assert_eq!((&planned["pushed"], &planned["signed"]), (&Value::from(false), &Value::from(true)));

    let published = publish(&project, &[&signed[..], &["--format", "json"]].concat()).run().expect(0);
    let done = json(&published);
    assert_eq!(done["digest"], planned["digest"]);
    assert_eq!(done["install"], "rapidbyte connectors add transform-mask@0.1.0 --registry dir:registry");
    // Everything but signatures was foretold to the byte, and is there.
    let blobs = project.path("registry/transform-mask/blobs/sha256");
    let mut foretold = 0;
    for item in planned["items"].as_array().expect("a list") {
        let Some(digest) = item["digest"].as_str() else { continue };
        let path = blobs.join(digest.trim_start_matches("sha256:"));
        let size = std::fs::metadata(&path).unwrap_or_else(|_| panic!("{item} is missing")).len();
        assert_eq!(Value::from(size), item["bytes"], "{item}");
        foretold += 1;
    }
    assert!(foretold >= 7, "{planned}");
    let kinds: BTreeSet<&str> =
        planned["items"].as_array().into_iter().flatten().filter_map(|it| it["what"].as_str()).collect();
    for what in ["package", "bill of materials", "provenance", "certificate", "signature", "older signature"]
    {
        assert!(kinds.contains(what), "{kinds:?}");
    }
    assert!(kinds.contains(format!("code for {target}").as_str()), "{kinds:?}");

    // Once, whatever is in it.
    let again = publish(&project, &[&signed[..], &["--format", "json"]].concat()).run().expect(5);
    assert_eq!(code(&again), "version_exists");
    // Nothing was packed yet, so nothing is said of what it would have been.
    assert!(!again.stdout.contains("as something else"), "{}", again.text());

    let config = project.home().join(".rapidbyte/config.toml");
    let trust = |key: &str| {
        let rule = format!(
            "[[trust.rule]]\nregistry = \"dir:{}\"\nkeys = [\"{}\"]\nrequire-conformance = true\n",
            project.path("registry").display(),
            project.path(key).display()
        );
        std::fs::write(&config, rule).unwrap();
    };
    let add = || {
        let arguments = ["connectors", "add", "transform-mask", "--registry", "dir:registry", "--yes"];
        project.rapidbyte(arguments.into_iter().chain(["--format", "json"])).run()
    };
    generate(&project, "other").run().expect(0);
    trust("other.pub");
    assert_eq!(code(&add().expect(9)), "trust_wrong_key");
    trust("acme.pub");
    add().expect(0);
    let lock = std::fs::read_to_string(project.path("rapidbyte.lock")).expect("a lock");
    assert!(lock.contains("signer = \"key SHA256:"), "{lock}");
}

#[test]
fn what_is_not_fit_is_refused_before_anything_is_pushed() {
    let project = Project::new();
    let to_folder = ["--registry", "dir:registry"];
    let refused = |arguments: &[&str], exit: i32| {
        let outcome = publish(&project, &[&to_folder[..], arguments].concat()).run().expect(exit);
        assert!(!project.path("registry").exists(), "{}", outcome.text());
        outcome
    };
    // The suite fails: the config names a rule that is none.
    mask(&project, |_| {});
    let broken = refused(&["--config", "key=", "--format", "json"], 5);
    assert_eq!(code(&broken), "connector_not_conformant");
    // A capability that the manifest does not declare.
    let source = with_manifest(&component("source-postgres"), |manifest| {
        manifest["capabilities"].as_object_mut().expect("a map").remove("network");
    });
    project.write("source-postgres.wasm", source);
    let undeclared =
        project.rapidbyte(["connector", "publish", "source-postgres.wasm"].iter().chain(&to_folder));
    assert_outcome!("publish_undeclared", undeclared.run().expect(5));
    // Keys that are none, or stay closed.
    assert_outcome!("publish_no_key_file", refused(&["--key", "none.key"], 4));
    generate(&project, "acme").run().expect(0);
    assert_outcome!("publish_public_key", refused(&["--key", "acme.pub"], 4));
    let closed = publish(&project, &[&to_folder[..], &["--key", "acme.key"]].concat());
    assert_outcome!("publish_wrong_password", closed.env("COSIGN_PASSWORD", "another").run().expect(4));
    let nobody = publish(&project, &[&to_folder[..], &["--key", "acme.key"]].concat());
    assert_outcome!("publish_no_password", nobody.env_remove("COSIGN_PASSWORD").run().expect(2));
    // Registries that are none, or not there.
    let elsewhere = |registry: &str| publish(&project, &["--registry", registry]).run();
    assert_outcome!("publish_unknown_alias", elsewhere("acme").expect(2));
    assert_outcome!("publish_bad_registry", elsewhere("Acme/x").expect(2));
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    assert_outcome!("publish_unreachable", elsewhere(&format!("{free}/acme")).expect(6));
}

#[test]
fn uncommitted_sources_are_refused_and_named() {
    let project = Project::new();
    let manifest =
        std::fs::read_to_string(repository().join("connectors/transform-mask/rapidbyte-plugin.yaml"));
    project.write("mask/rapidbyte-plugin.yaml", manifest.unwrap());
    project.write("mask/package.json", "{}\n");
    let folder = project.path("mask");
    git(&folder, &["init", "--quiet"]);
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "--quiet", "-m", "One"]);
    project.write("mask/package.json", "{ }\n");
    project.write("mask/src/new.js", "");
    let publish = project.rapidbyte(["connector", "publish", "mask", "--registry", "dir:registry"]);
    assert_outcome!("publish_dirty", publish.run().expect(5));
    let allowed = ["connector", "publish", "mask", "--registry", "dir:registry", "--allow-dirty"];
    let outcome = project.rapidbyte(allowed.into_iter().chain(["--format", "json"])).run();
    assert_ne!(code(&outcome), "publish_dirty", "{}", outcome.text());
}

#[test]
fn a_guarded_server_without_referrers_takes_it_and_its_index() {
    let server = DockerRegistry::start(true).unwrap();
    let project = Project::new();
    let registry = format!("{}/acme", server.host());
    mask(&project, |_| {});
    generate(&project, "acme").run().expect(0);
    let docker = project.path("docker");
    let run = |invocation: Invocation| invocation.env("DOCKER_CONFIG", &docker);
    let signed = ["--registry", registry.as_str(), "--key", "acme.key", "--format", "json"];
    let denied = run(publish(&project, &signed)).run().expect(6);
    assert_eq!(code(&denied), "registry_unauthorized");
    let login = ["registry", "login", &registry, "--username", USER, "--password-stdin", "--quiet"];
    run(project.rapidbyte(login)).stdin(&format!("{PASSWORD}\n")).run().expect(0);
    run(publish(&project, &signed)).run().expect(0);

    let index = |arguments: &[&str]| {
        let fixed = ["registry", "index", registry.as_str(), "--key", "acme.key", "--format", "json"];
        let invocation =
            project.rapidbyte(fixed.iter().chain(arguments)).env("COSIGN_PASSWORD", KEY_PASSWORD);
        run(invocation).run()
    };
    let indexed = json(&index(&[]).expect(0));
    assert_eq!((&indexed["packages"], &indexed["versions"]), (&Value::from(1), &Value::from(1)));
    let yank = |undo: bool| {
        let fixed =
            ["connector", "yank", "transform-mask@0.1.0", "--registry", &registry, "--key", "acme.key"];
        let arguments = fixed.into_iter().chain(["--format", "json"]).chain(undo.then_some("--undo"));
        json(&run(project.rapidbyte(arguments).env("COSIGN_PASSWORD", KEY_PASSWORD)).run().expect(0))
    };
    assert_eq!(yank(false)["changed"], true);
    assert_eq!(yank(false)["changed"], false);
    // Made anew, it keeps what it knew; another key's index is not signed again.
    index(&[]).expect(0);
    assert_eq!(yank(true)["changed"], true);
    generate(&project, "other").run().expect(0);
    let other = ["connector", "yank", "transform-mask@0.1.0", "--registry", &registry, "--key", "other.key"];
    let strict = "[trust]\nlevel = \"require\"\n";
    std::fs::write(project.home().join(".rapidbyte/config.toml"), strict).unwrap();
    let invocation = project.rapidbyte(other.into_iter().chain(["--format", "json"]));
    let outcome = run(invocation.env("COSIGN_PASSWORD", KEY_PASSWORD)).run().expect(9);
    assert_eq!(code(&outcome), "trust_nobody");
    let missing = ["connector", "yank", "transform-mask@9.0.0", "--registry", &registry, "--key", "acme.key"];
    let invocation = project.rapidbyte(missing.into_iter().chain(["--format", "json"]));
    let outcome = run(invocation.env("COSIGN_PASSWORD", KEY_PASSWORD)).run().expect(2);
    assert_eq!(code(&outcome), "index_no_release");
}

/// The guide for publishers, followed to the letter: its shell blocks, run by one shell.
#[test]
fn the_publishing_guide_works_as_it_is_written() {
    let page = std::fs::read_to_string(repository().join("docs/publishing.md")).expect("the guide");
    let mut script = String::from("set -euo pipefail\n");
    let mut blocks = 0;
    for block in page.split("\n```sh\n").skip(1) {
        script += block.split("\n```").next().expect("a block ends");
        script.push('\n');
        blocks += 1;
    }
    assert!(blocks >= 5, "the guide shows what to type");
    let project = Project::new();
    mask(&project, |_| {});
    let fixture = std::fs::read(repository().join("connectors/transform-mask/conformance.yaml"));
    project.write("conformance.yaml", fixture.expect("the fixture"));
    let mut shell = Command::new("bash");
    support::isolate(&mut shell, &project.home());
    let folder = Path::new(support::RAPIDBYTE).parent().expect("the binary lies in a folder");
    let paths = std::env::var_os("PATH").expect("a PATH");
    let paths = [folder.to_owned()].into_iter().chain(std::env::split_paths(&paths));
    shell.env("PATH", std::env::join_paths(paths).expect("folders make a path"));
    let output = shell.args(["-c", &script]).current_dir(project.root()).output().expect("bash starts");
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(complained.contains("rapidbyte connectors add transform-mask@0.1.0"), "{complained}");
}

#[test]
fn compiled_code_is_taken_from_who_is_trusted_with_it_alone() {
    let target = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => "x86_64-unknown-linux-gnu",
        ("linux", "aarch64") => "aarch64-unknown-linux-gnu",
        other => panic!("the tests run on Linux, not on {other:?}"),
    };
    let project = Project::new();
    // Another component than any test has compiled before.
    mask(&project, |manifest| manifest["description"] = "Of this test alone".into());
    generate(&project, "acme").run().expect(0);
    let signed = ["--registry", "dir:registry", "--key", "acme.key", "--target", target, "--quiet"];
    publish(&project, &signed).run().expect(0);
    let compile = |native: &str| {
        let home = tempfile::tempdir().unwrap();
        let config = format!(
            "[[trust.rule]]\nregistry = \"dir:{0}/registry\"\nkeys = [\"{0}/acme.pub\"]\nnative-keys = [{native}]\n",
            project.root().display()
        );
        std::fs::write(home.path().join("config.toml"), config).unwrap();
        let run = |arguments: &[&str]| {
            project.rapidbyte(arguments).env("RAPIDBYTE_HOME", home.path()).run().expect(0)
        };
        run(&["connectors", "add", "transform-mask", "--registry", "dir:registry", "--yes", "--quiet"]);
        json(&run(&["connectors", "compile", "transform-mask", "--format", "json"]))["connectors"][0].clone()
    };
    let ours = compile("");
    assert_eq!((&ours["adopted_from"], &ours["fresh"]), (&Value::Null, &Value::from(false)), "{ours}");
    let theirs = compile(&format!("\"{}\"", project.path("acme.pub").display()));
    assert!(theirs["adopted_from"].as_str().is_some_and(|who| who.starts_with("key SHA256:")), "{theirs}");
    assert_eq!(theirs["fresh"], true, "nothing was compiled: {theirs}");
}
