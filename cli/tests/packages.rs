//! The package manager as its users see it: registries named, packages looked at, installed, locked, updated, run. Over a folder,
//! the embedded registry and Debian's.

mod support;

use rapidbyte_host::core::ConnectorRole;
use rapidbyte_packages::index::{Entry, PackageIndex, Release};
use rapidbyte_registry::{ServerOptions, ServerRegistry};
use registry_fixtures::{DockerRegistry, PASSWORD, USER};
use serde_json::Value;
use support::registry::{
    component, digest_of, move_tag, publish, publish_index, publish_to, version, with_manifest,
};
use support::{Outcome, Project};

/// A project whose home names the folder `registry` beside it `local`, as the default.
fn project() -> Project {
    let project = Project::new();
    project.write(".keep", "");
    project.rapidbyte(["registry", "add", "local", "dir:registry", "--default", "--quiet"]).run().expect(0);
    project
}

fn source() -> Vec<u8> {
    component("source-file")
}

fn add<'a>(project: &Project, arguments: impl IntoIterator<Item = &'a str>) -> Outcome {
    project.rapidbyte(["connectors", "add"].into_iter().chain(arguments)).run()
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.json()).expect("JSON")
}

fn code(outcome: &Outcome) -> String {
    json(outcome)["error"]["code"]
        .as_str()
        .unwrap_or_else(|| panic!("no error: {}", outcome.text()))
        .to_owned()
}

/// Fails with this exit and this error code, whatever else is asked for.
#[track_caller]
fn refused<'a>(
    project: &Project,
    exit: i32,
    expected: &str,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Outcome {
    let arguments = arguments.into_iter().chain(["--format", "json"]);
    let outcome = project.rapidbyte(arguments).run().expect(exit);
    assert_eq!(code(&outcome), expected, "{}", outcome.text());
    outcome
}

fn lock(project: &Project) -> String {
    std::fs::read_to_string(project.path("rapidbyte.lock")).expect("a lock")
}

fn registry(project: &Project) -> std::path::PathBuf {
    project.path("registry")
}

const PIPELINE: &str = r#"version: "1.0"
pipeline: orders
source:
  use: local/source-file@^0.1
  config: { path: data }
  streams:
    - { name: orders, sync_mode: full_refresh }
destination:
  use: dest-file
  config: { path: out, format: jsonl }
  write_mode: append
"#;

#[test]
fn a_pipeline_runs_what_somebody_agreed_to_and_nothing_else() {
    let project = project();
    publish(&registry(&project), &source());
    publish(&registry(&project), &component("dest-file"));
    project.write("data/orders.csv", "id,total\n1,10\n2,20\n");
    project.write("pipeline.yaml", PIPELINE);

    let run = || project.rapidbyte(["run", "pipeline.yaml"]);
    assert_outcome!("packages_run_not_reviewed", run().run().expect(9));
    refused(&project, 3, "not_locked", ["run", "pipeline.yaml", "--locked"]);
    assert!(!project.path("rapidbyte.lock").exists());
    assert_outcome!(
        "packages_add",
        add(&project, ["local/source-file@^0.1", "dest-file", "--yes"]).expect(0)
    );
    let locked = lock(&project);
    assert!(locked.contains("name = \"dest-file\"") && locked.contains("name = \"source-file\""), "{locked}");

    let checked = project.rapidbyte(["check", "pipeline.yaml"]).run().expect(0);
    assert!(checked.stdout.contains("[OK] source-file@"), "{}", checked.text());
    project.rapidbyte(["schema", "discover", "pipeline.yaml"]).run().expect(0);
    run().run().expect(0);
    assert_eq!(lock(&project), locked, "what is locked stays");

    // Neither the registry nor anything but the store is needed by now.
    std::fs::rename(registry(&project), project.path("gone")).unwrap();
    project.rapidbyte(["run", "pipeline.yaml", "--locked", "--offline"]).run().expect(0);
    // On another machine, everything that is missing comes by the lock, without a question.
    std::fs::rename(project.path("gone"), registry(&project)).unwrap();
    std::fs::remove_dir_all(project.home().join(".rapidbyte/plugins")).unwrap();
    refused(&project, 4, "offline", ["check", "pipeline.yaml", "--offline"]);
    project.rapidbyte(["check", "pipeline.yaml", "--locked"]).run().expect(0);
}

#[test]
fn what_use_names_is_checked_where_it_stands() {
    let project = project();
    let check = |named: &str| {
        project.write("pipeline.yaml", PIPELINE.replace("local/source-file@^0.1", named));
        project.rapidbyte(["check", "pipeline.yaml"]).run()
    };
    assert_outcome!("packages_use_no_reference", check("Local/source-file").expect(3));
    assert_outcome!("packages_use_unknown_alias", check("locl/source-file").expect(2));
    assert_outcome!("packages_use_unknown_package", check("local/source-none").expect(2));
    std::fs::create_dir_all(project.path("connectors/source-file")).unwrap();
    assert_outcome!("packages_use_a_path", check("connectors/source-file").expect(3));
    project.write("pipeline.yaml", PIPELINE.replace("local/source-file@^0.1", "\"${SECRET}\""));
    let secret = project.rapidbyte(["check", "pipeline.yaml"]).env("SECRET", "Very Secret").run().expect(3);
    assert!(!secret.text().contains("Very Secret"), "{}", secret.text());
}

#[test]
fn registries_are_named_listed_and_forgotten() {
    let project = Project::new();
    let registry = |arguments: &[&str]| project.rapidbyte(["registry"].iter().chain(arguments)).run();
    assert_outcome!("registry_list_empty", registry(&["list"]).expect(0));
    refused(&project, 2, "registries_missing", ["connectors", "search", "jira"]);
    registry(&["add", "acme", "registry.example/acme", "--default"]).expect(0);
    assert_outcome!("registry_add", registry(&["add", "lab", "10.0.0.1:5000", "--plain-http"]).expect(0));
    assert_outcome!("registry_list", registry(&["list"]).expect(0));
    assert_outcome!("registry_add_alias", registry(&["add", "Acme", "registry.example"]).expect(2));
    assert_outcome!(
        "registry_add_registry",
        registry(&["add", "acme", "https://registry.example"]).expect(2)
    );
    assert_outcome!("registry_remove_unknown", registry(&["remove", "acne"]).expect(2));
    registry(&["remove", "acme"]).expect(0);
    let config = std::fs::read_to_string(project.home().join(".rapidbyte/config.toml")).unwrap();
    assert_eq!(config, "[registries.lab]\nurl = \"oci://10.0.0.1:5000\"\nplain-http = true\n");
}

#[test]
fn settings_that_are_wrong_are_shown_where() {
    let project = Project::new();
    let write = |text: &str| {
        let path = project.home().join(".rapidbyte/config.toml");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "default-registy = \"acme\"\n\n[registries.acme]\nurl = \"registry.example/acme\"\nplain-htp = true\n",
    );
    assert_outcome!("settings_unknown_key", project.rapidbyte(["registry", "list"]).run().expect(3));
    write("[[trust.rule]]\nregistry = \"acme\"\nkeys = [\"missing.pub\"]\n");
    refused(&project, 3, "trust_unknown_alias", ["connectors", "list"]);
    write(
        "[registries.acme]\nurl = \"registry.example\"\n[[trust.rule]]\nregistry = \"acme\"\nkeys = [\"missing.pub\"]\n",
    );
    refused(&project, 3, "trust_key_file", ["connectors", "list"]);
}

#[test]
fn nothing_is_installed_without_a_yes() {
    let project = project();
    publish(&registry(&project), &source());
    assert_outcome!("packages_add_no_yes", add(&project, ["source-file"]).expect(9));
    assert!(!project.path("rapidbyte.lock").exists());
    assert_eq!(
        json(&project.rapidbyte(["connectors", "list", "--format", "json"]).run())["connectors"],
        Value::Array(vec![])
    );
    let added = json(&add(&project, ["source-file", "--yes", "--format", "json"]).expect(0));
    assert_eq!(added["installed"][0]["name"], "source-file");
    // It was looked at.
    add(&project, ["source-file"]).expect(0);
}

/// A terminal, as `script` makes one, and somebody who types.
#[cfg(unix)]
#[test]
fn on_a_terminal_somebody_is_asked() {
    use std::process::{Command, Stdio};
    let project = project();
    publish(&registry(&project), &source());
    let answer = |typed: &str| {
        let mut command = Command::new("script");
        support::isolate(&mut command, &project.home());
        let line = format!("{} connectors add source-file --color never", support::RAPIDBYTE);
        command.args(["-qec", &line, "/dev/null"]).env("TERM", "dumb").current_dir(project.root());
        let typed = std::fs::File::open(project.write("typed", format!("{typed}\n"))).unwrap();
        let output = command.stdin(Stdio::from(typed)).output().expect("`script` is there");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (exit, said) = answer("n");
    assert_eq!(exit, Some(9), "{said}");
    assert!(said.contains("Install this? [y/N]") && said.contains("nothing was installed"), "{said}");
    assert!(!project.path("rapidbyte.lock").exists());
    let (exit, said) = answer("y");
    assert_eq!(exit, Some(0), "{said}");
    assert!(lock(&project).contains("source-file"));
}

#[test]
fn what_is_installed_is_listed_inspected_verified_and_removed() {
    let project = project();
    publish(&registry(&project), &version(&source(), "1.0.0"));
    publish(&registry(&project), &version(&source(), "1.1.0"));
    publish(&registry(&project), &version(&source(), "2.0.0-rc.1"));
    let connectors = |arguments: &[&str]| project.rapidbyte(["connectors"].iter().chain(arguments)).run();
    assert_outcome!("connectors_list_empty", connectors(&["list"]).expect(0));
    assert_outcome!("connectors_inspect", connectors(&["inspect", "source-file@^1"]).expect(0));
    assert!(!project.home().join(".rapidbyte/plugins/blobs").exists(), "inspecting downloads nothing");
    add(&project, ["source-file", "--yes"]).expect(0);
    assert_outcome!("connectors_list", connectors(&["list"]).expect(0));
    assert_outcome!("connectors_verify", connectors(&["verify", "source-file@1.1.0"]).expect(0));
    connectors(&["verify", "source-file", "--offline"]).expect(0);
    connectors(&["compile", "source-file"]).expect(0);
    refused(&project, 2, "not_installed", ["connectors", "verify", "source-file@1.0.0"]);
    refused(&project, 2, "version_unknown", ["connectors", "inspect", "source-file@^3"]);
    assert_outcome!("connectors_audit", connectors(&["audit"]).expect(0));
    assert_outcome!("connectors_remove", connectors(&["remove", "source-file"]).expect(0));
    assert!(!lock(&project).contains("source-file"));
    refused(&project, 2, "not_installed", ["connectors", "remove", "source-file"]);
    let cleaned = json(&connectors(&["gc", "--format", "json"]).expect(0));
    assert_eq!(cleaned["files"], 3);
    assert_eq!(json(&connectors(&["gc", "--format", "json"]).expect(0))["files"], 0);
}

#[test]
fn a_package_is_tested_as_it_was_installed() {
    let project = project();
    publish(&registry(&project), &source());
    add(&project, ["source-file", "--yes"]).expect(0);
    project.write("data/orders.csv", "id,total\n1,10\n2,20\n");
    let arguments =
        ["connectors", "test", "source-file", "--config", "path=data", "--clause", "discovery-stable"];
    let outcome = project.rapidbyte(arguments).run().expect(0);
    assert!(outcome.stdout.contains("discovery-stable"), "{}", outcome.text());
}

#[test]
fn updates_stay_compatible_and_never_reach_further_unsaid() {
    let project = project();
    publish(&registry(&project), &version(&source(), "1.0.0"));
    add(&project, ["source-file", "--yes"]).expect(0);
    publish(&registry(&project), &version(&source(), "1.1.0"));
    publish(&registry(&project), &version(&source(), "2.0.0"));
    // What is locked is what is used.
    add(&project, ["source-file"]).expect(0);
    assert!(lock(&project).contains("version = \"1.0.0\""));
    let update =
        |arguments: &[&str]| project.rapidbyte(["connectors", "update"].iter().chain(arguments)).run();
    assert_outcome!("connectors_update", update(&["source-file"]).expect(0));
    assert!(lock(&project).contains("version = \"1.1.0\""));
    update(&["--all"]).expect(0);
    assert!(lock(&project).contains("version = \"1.1.0\""));

    let wider = with_manifest(&source(), |manifest| {
        manifest["version"] = "1.2.0".into();
        manifest["capabilities"]["env"] = serde_json::json!(["AWS_SECRET_ACCESS_KEY"]);
    });
    publish(&registry(&project), &wider);
    assert_outcome!("connectors_update_widened", update(&["source-file", "--yes"]).expect(9));
    assert!(lock(&project).contains("version = \"1.1.0\""));
    refused(&project, 9, "capabilities_widened", ["connectors", "add", "source-file@1.2.0", "--yes"]);
    assert_outcome!(
        "connectors_update_allowed",
        update(&["source-file", "--yes", "--allow-widening"]).expect(0)
    );
    assert!(lock(&project).contains("environment AWS_SECRET_ACCESS_KEY"));
    update(&["source-file@^2", "--yes"]).expect(0);
    assert!(lock(&project).contains("version = \"2.0.0\""));
    refused(&project, 3, "not_locked", ["connectors", "update", "dest-file"]);
}

#[test]
fn versions_that_disappear_or_change_are_noticed() {
    let project = project();
    let folder = registry(&project);
    publish(&folder, &version(&source(), "1.0.0"));
    publish(&folder, &version(&source(), "1.1.0"));
    add(&project, ["source-file", "--yes"]).expect(0);

    // Another component under the same version.
    let other = with_manifest(&source(), |manifest| {
        manifest["version"] = "1.1.0".into();
        manifest["description"] = "something else".into();
    });
    move_tag(&folder, &other);
    refused(&project, 9, "tag_moved", ["connectors", "update", "source-file"]);
    refused(&project, 9, "tag_moved", ["connectors", "verify", "source-file"]);
    let audit = json(&project.rapidbyte(["connectors", "audit", "--format", "json"]).run().expect(9));
    assert_eq!(audit["packages"][0]["error"]["code"], "tag_moved");
    // What is here runs on; what is fetched anew does not.
    add(&project, ["source-file"]).expect(0);
    std::fs::remove_dir_all(project.home().join(".rapidbyte/plugins")).unwrap();
    refused(&project, 9, "tag_moved", ["connectors", "add", "--locked"]);

    // Newer versions are hidden.
    std::fs::remove_dir_all(&folder).unwrap();
    publish(&folder, &version(&source(), "1.0.0"));
    refused(&project, 9, "version_downgrade", ["connectors", "update", "source-file@^1.0"]);
    add(&project, ["source-file@1.0.0", "--yes"]).expect(0);
    assert!(lock(&project).contains("version = \"1.0.0\""), "who names a version means it");
}

#[test]
fn a_lock_that_was_edited_is_not_believed() {
    let project = project();
    publish(&registry(&project), &source());
    add(&project, ["source-file", "--yes"]).expect(0);
    let good = lock(&project);
    project
        .write("rapidbyte.lock", good.replace("capabilities = [", "capabilities = [\"environment HOME\", "));
    refused(&project, 9, "lock_disagrees", ["connectors", "add", "--locked"]);
    project.write("rapidbyte.lock", "version = 1\n<<<<<<< HEAD\n");
    refused(&project, 3, "lock_malformed", ["connectors", "add", "--locked"]);
    project.write("rapidbyte.lock", good.replace("version = 1\n", "version = 9\n"));
    refused(&project, 3, "lock_too_new", ["connectors", "list"]);
}

#[test]
fn signatures_are_asked_for_as_the_settings_say() {
    let project = project();
    publish(&registry(&project), &source());
    let config = project.home().join(".rapidbyte/config.toml");
    let settings = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{settings}\n[[trust.rule]]\nregistry = \"local\"\nlevel = \"off\"\n"))
        .unwrap();
    let quiet = add(&project, ["source-file", "--yes"]).expect(0);
    assert!(!quiet.stderr.contains("warning"), "{}", quiet.text());
    // What ran yesterday has to be trusted today.
    std::fs::write(&config, format!("{settings}\n[trust]\nlevel = \"require\"\n")).unwrap();
    refused(&project, 9, "trust_nobody", ["connectors", "add", "source-file", "--yes"]);
    project.write("pipeline.yaml", PIPELINE.replace("dest-file", "source-file"));
    refused(&project, 9, "trust_installed_unsigned", ["check", "pipeline.yaml", "--offline"]);
    std::fs::write(&config, &settings).unwrap();
    refused(
        &project,
        9,
        "certificate_missing",
        ["connectors", "add", "source-file", "--yes", "--require-conformance", "--registry", "dir:registry"],
    );
}

#[test]
fn servers_are_logged_in_to_and_out_of() {
    let server = DockerRegistry::start(true).unwrap();
    let host = server.host();
    let project = Project::new();
    let docker = project.path("docker");
    publish_to(&host, Some((USER, PASSWORD)), "acme", &source());
    let run = |arguments: &[&str]| project.rapidbyte(arguments).env("DOCKER_CONFIG", &docker);
    run(&["registry", "add", "acme", &format!("{host}/acme"), "--default"]).run().expect(0);
    let denied = run(&["connectors", "add", "source-file", "--yes"]).run().expect(6);
    assert_outcome!("login_needed", denied);

    let login = |password: &str| {
        run(&["registry", "login", "acme", "--username", USER, "--password-stdin"])
            .stdin(&format!("{password}\n"))
            .run()
    };
    let wrong = login("not the password").expect(6);
    assert!(!wrong.text().contains("not the password"), "{}", wrong.text());
    assert!(!docker.join("config.json").exists(), "what is not accepted is not kept");
    let right = login(PASSWORD).expect(0);
    assert!(!right.text().contains(PASSWORD), "{}", right.text());
    assert_outcome!("login", right);
    run(&["connectors", "add", "source-file", "--yes"]).run().expect(0);
    assert_outcome!("logout", run(&["registry", "logout", &host]).run().expect(0));
    assert_outcome!("logout_again", run(&["registry", "logout", &host]).run().expect(0));
    run(&["connectors", "verify", "source-file"]).run().expect(6);
    assert_outcome!("login_to_a_folder", run(&["registry", "login", "dir:x"]).run().expect(2));
    assert_outcome!("login_without_a_terminal", run(&["registry", "login", "acme"]).run().expect(2));
}

#[test]
fn a_registry_with_a_certificate_of_its_own_is_believed_when_that_is_named() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let server = DockerRegistry::start_tls(&made.cert.pem(), &made.signing_key.serialize_pem()).unwrap();
    let host = server.host().replace("127.0.0.1", "localhost");
    let project = Project::new();
    project.write("ca.pem", made.cert.pem());
    let packed = support::registry::packed(&source());
    let options = ServerOptions {
        roots_pem: Some(made.cert.pem()),
        plain_http: Some(false),
        ..ServerOptions::default()
    };
    let registry = ServerRegistry::new(&host, &options).unwrap();
    support::registry::push(&registry, "acme", &source(), &packed, false);

    let config = project.home().join(".rapidbyte/config.toml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    let add =
        || project.rapidbyte(["connectors", "add", "lab/source-file", "--yes", "--format", "json"]).run();
    // This machine is spoken to in plain HTTP unless that is ruled out.
    let url = format!("[registries.lab]\nurl = \"{host}/acme\"\nplain-http = false\n");
    std::fs::write(&config, &url).unwrap();
    let unknown = add().expect(6);
    assert_eq!(code(&unknown), "registry_unreachable");
    assert!(unknown.stderr.contains("certificate"), "{}", unknown.text());
    std::fs::write(&config, format!("{url}ca = \"{}\"\n", project.path("ca.pem").display())).unwrap();
    add().expect(0);
    std::fs::write(&config, format!("{url}ca = \"{}\"\n", project.path("missing.pem").display())).unwrap();
    let missing =
        project.rapidbyte(["connectors", "verify", "source-file", "--format", "json"]).run().expect(4);
    assert_eq!(code(&missing), "file");
    project.write("empty.pem", "");
    std::fs::write(&config, format!("{url}ca = \"{}\"\n", project.path("empty.pem").display())).unwrap();
    let empty =
        project.rapidbyte(["connectors", "verify", "source-file", "--format", "json"]).run().expect(6);
    assert_eq!(code(&empty), "registry_refused");
}

#[cfg(unix)]
#[test]
fn credentials_are_kept_by_the_program_that_docker_names() {
    use std::os::unix::fs::PermissionsExt;
    let server = DockerRegistry::start(true).unwrap();
    let project = Project::new();
    let script = format!(
        "#!/bin/sh\nkept={kept}\ncase $1 in\n\
         store) cat > $kept ;;\n\
         get) if [ -f $kept ]; then cat $kept; else echo 'credentials not found in native keychain'; exit 1; fi ;;\n\
         erase) rm $kept ;;\nesac\n",
        kept = project.path("kept").display()
    );
    let program = project.write("bin/docker-credential-tests", script);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    project.write("docker/config.json", r#"{"credsStore":"tests"}"#);
    publish_to(&server.host(), Some((USER, PASSWORD)), "", &source());
    let path = format!("{}:{}", project.path("bin").display(), std::env::var("PATH").unwrap());
    let run = |arguments: &[&str]| {
        project.rapidbyte(arguments).env("DOCKER_CONFIG", project.path("docker")).env("PATH", &path)
    };
    let add = ["connectors", "add", &format!("oci://{}/source-file", server.host()), "--yes"];
    run(&add).run().expect(6);
    let login = ["registry", "login", &server.host(), "--username", USER, "--password-stdin"];
    run(&login).stdin(PASSWORD).run().expect(0);
    assert!(std::fs::read_to_string(project.path("kept")).unwrap().contains(USER));
    assert_eq!(
        std::fs::read_to_string(project.path("docker/config.json")).unwrap(),
        r#"{"credsStore":"tests"}"#
    );
    run(&add).run().expect(0);
    run(&["registry", "logout", &server.host()]).run().expect(0);
    assert!(!project.path("kept").exists());
    project.write("docker/config.json", r#"{"credsStore":"none-such"}"#);
    let outcome = run(&["connectors", "verify", "source-file", "--format", "json"]).run().expect(4);
    assert_eq!(code(&outcome), "credential_helper");
}

#[test]
fn a_folder_is_served_and_installed_from() {
    let project = Project::new();
    let mut server = project
        .rapidbyte(["registry", "serve", "registry", "--listen", "127.0.0.1:0", "--read-only"])
        .start();
    server.wait_until_it_says("Serving");
    let address =
        server.said().split(" on ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
    publish(&project.path("registry/acme"), &source());
    let reference = format!("oci://{address}/acme/source-file");
    let installed = add(&project, [reference.as_str(), "--yes", "--format", "json"]).expect(0);
    assert_eq!(json(&installed)["installed"][0]["registry"], format!("oci://{address}/acme"));
    server.signal("-INT");
    server.wait().expect(130);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    refused(&project, 4, "address_in_use", ["registry", "serve", "registry", "--listen", &listen]);
}

/// The registry's index, of these versions: how many days ago each was published, and whether it was withdrawn.
fn index(project: &Project, versions: &[(&str, &str, i64, bool)], built_hours_ago: i64, good_hours: i64) {
    let now = jiff::Timestamp::now();
    let hours = |count: i64| jiff::SignedDuration::from_hours(count);
    let mut entries: Vec<Entry> = Vec::new();
    for (name, version, days, yanked) in versions {
        let release = Release {
            version: version.parse().unwrap(),
            digest: digest_of(&registry(project), name, version),
            published_at: now - hours(24 * days),
            yanked: *yanked,
        };
        match entries.iter_mut().find(|entry| entry.name == *name) {
            Some(entry) => entry.versions.push(release),
            None => entries.push(Entry {
                name: (*name).to_owned(),
                role: ConnectorRole::Source,
                description: format!("Reads what {name} reads"),
                versions: vec![release],
            }),
        }
    }
    let built_at = now - hours(built_hours_ago);
    publish_index(&registry(project), &PackageIndex::new(built_at, built_at + hours(good_hours), entries));
}

#[test]
fn a_registrys_index_is_searched_and_gone_by() {
    let project = project();
    for number in ["1.0.0", "1.1.0", "1.2.0"] {
        publish(&registry(&project), &version(&source(), number));
    }
    refused(&project, 6, "index_missing", ["connectors", "search", "file"]);
    let all = [
        ("source-file", "1.0.0", 30, false),
        ("source-file", "1.1.0", 5, false),
        ("source-file", "1.2.0", 1, true),
    ];
    index(&project, &all, 2, 24);
    assert_outcome!(
        "connectors_search",
        project.rapidbyte(["connectors", "search", "file", "reads"]).run().expect(0)
    );
    let none = project.rapidbyte(["connectors", "search", "jira", "--format", "json"]).run().expect(0);
    assert_eq!(json(&none)["connectors"], Value::Array(vec![]));

    project.rapidbyte(["registry", "add", "other", "dir:other"]).run().expect(0);
    let both = json(&project.rapidbyte(["connectors", "search", "file", "--format", "json"]).run().expect(0));
    assert_eq!(both["not_searched"][0]["code"], "index_missing");
    assert_eq!(both["connectors"].as_array().unwrap().len(), 1);

    // Withdrawn versions are not chosen; whoever has one keeps it.
    refused(&project, 9, "version_yanked", ["connectors", "add", "source-file@1.2.0", "--yes"]);
    let added = add(&project, ["source-file", "--yes"]).expect(0);
    assert_eq!(added.stdout, "source-file@1.1.0\n");
    index(&project, &[("source-file", "1.0.0", 30, false), ("source-file", "1.1.0", 5, true)], 1, 24);
    std::fs::remove_dir_all(project.home().join(".rapidbyte/plugins")).unwrap();
    add(&project, ["source-file", "--locked"]).expect(0);

    // An older index than one that was seen, and one that is too old.
    index(&project, &all, 3, 24);
    refused(&project, 9, "index_rolled_back", ["connectors", "search", "file"]);
    refused(&project, 9, "index_rolled_back", ["connectors", "update", "source-file"]);
    std::fs::remove_dir_all(project.home().join(".rapidbyte/indexes")).unwrap();
    index(&project, &all, 30, 24);
    refused(&project, 9, "index_stale", ["connectors", "update", "source-file"]);
}

#[test]
fn releases_must_be_as_old_as_the_settings_say() {
    let project = project();
    let config = project.home().join(".rapidbyte/config.toml");
    let settings = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("minimum-release-age = \"3d\"\n{settings}")).unwrap();
    for number in ["1.0.0", "1.1.0", "1.2.0"] {
        publish(&registry(&project), &version(&source(), number));
    }
    refused(&project, 9, "version_age_unknown", ["connectors", "add", "source-file", "--yes"]);
    index(&project, &[("source-file", "1.0.0", 5, false), ("source-file", "1.1.0", 1, false)], 1, 24);
    refused(&project, 9, "version_too_young", ["connectors", "add", "source-file@1.1.0", "--yes"]);
    refused(&project, 9, "version_age_unknown", ["connectors", "add", "source-file@1.2.0", "--yes"]);
    let added = add(&project, ["source-file", "--yes"]).expect(0);
    assert_eq!(added.stdout, "source-file@1.0.0\n");
}

#[test]
fn a_tag_that_the_index_knows_as_something_else_is_refused() {
    let project = project();
    publish(&registry(&project), &version(&source(), "1.0.0"));
    index(&project, &[("source-file", "1.0.0", 5, false)], 1, 24);
    let other =
        with_manifest(&version(&source(), "1.0.0"), |manifest| manifest["description"] = "other".into());
    move_tag(&registry(&project), &other);
    refused(&project, 9, "index_disagrees", ["connectors", "add", "source-file", "--yes"]);
}
