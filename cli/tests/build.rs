//! `connector build`: the same bytes from any folder, code for other platforms, what a component is made of, and a manifest
//! that must agree with it.

mod support;

use std::path::Path;

use support::bare::write_connector;
use support::{Outcome, Project};

fn build(project: &Project, folder: &Path, arguments: &[&str]) -> Outcome {
    let folder = folder.to_str().expect("a path in Unicode");
    let invocation = project.rapidbyte(["connector", "build", folder].iter().chain(arguments));
    // Each with a target folder of its own, as two clones have.
    invocation.env_remove("CARGO_TARGET_DIR").run()
}

#[test]
fn the_same_source_gives_the_same_component_in_any_folder() {
    let project = Project::new();
    let mut components = Vec::new();
    for folder in ["one", "elsewhere/and/deeper"] {
        let connector = write_connector(&project, folder);
        let outcome =
            build(&project, &connector, &["--verbose", "--target", "aarch64-apple-darwin"]).expect(0);
        assert!(outcome.stderr.contains("(data)"), "{}", outcome.text());
        assert!(outcome.stderr.contains("Native code for aarch64-apple-darwin"), "{}", outcome.text());
        let path = Path::new(outcome.stdout.trim());
        let native = path.with_extension("aarch64-apple-darwin.cwasm");
        assert!(std::fs::metadata(native).expect("the code beside the component").len() > 1_000);
        components.push(std::fs::read(path).expect("the component"));
    }
    assert!(components[0] == components[1], "two folders, two components");
    // Nothing of this machine's folders travels with it.
    let root = project.root();
    let ours = root.to_str().expect("a path in Unicode").as_bytes();
    assert!(
        !components[0].windows(ours.len()).any(|window| window == ours),
        "the folder is in the component"
    );

    // The second folder's code for the other platform came from the cache: it has the same digest.
    let connector = project.path("one/source-bare");
    let json =
        build(&project, &connector, &["--target", "aarch64-apple-darwin", "--format", "json"]).expect(0);
    let json = json.json();
    assert!(json.contains(r#""fresh":true,"code":"#), "{json}");
    assert!(json.contains(r#""target":"aarch64-apple-darwin""#), "{json}");

    // The component asks for the network nowhere, its manifest does: said, not refused. The other way round is refused.
    let manifest = include_str!("bare/rapidbyte-plugin.yaml");
    let network = "network: { allowed_hosts: [{ host: db.example.com, port: 5432 }] }";
    let wider = manifest.replace("[arrow_ipc] }", &format!("[arrow_ipc], {network} }}"));
    assert_ne!(wider, manifest);
    project.write("one/source-bare/rapidbyte-plugin.yaml", wider);
    let outcome = build(&project, &connector, &[]).expect(0);
    assert!(
        outcome.stderr.contains("asks for the network, which the component never uses"),
        "{}",
        outcome.text()
    );
}

#[test]
fn an_unknown_platform_is_refused_with_the_list() {
    let project = Project::new();
    let arguments = ["connector", "build", "--target", "riscv64gc-unknown-linux-gnu"];
    assert_outcome!("build_unknown_target", project.rapidbyte(arguments).run().expect(2));
}
