//! Every mistake a document can have, as its author sees it: `bad/NAME.yaml` is refused with exactly `bad/NAME.txt`.
//! `UPDATE_SNAPSHOTS=1` writes the texts anew, for reading the difference.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The only environment the documents see. The value must appear nowhere.
pub const SECRET: &str = "hunter2-s3cr3t";

fn environment(name: &str) -> Option<String> {
    (name == "SECRET").then(|| SECRET.to_owned())
}

#[test]
fn bad_documents_are_refused_with_a_clear_error() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let now = "2026-03-01T12:34:56Z".parse().unwrap();
    let surroundings = rapidbyte_pipeline::Surroundings::new(&environment, now);
    check_folder(&folder, |text, name| match rapidbyte_pipeline::parse(text, name, &surroundings) {
        Ok(_) => panic!("{name} was accepted"),
        Err(errors) => errors,
    });
}

#[test]
fn bad_manifests_are_refused_with_a_clear_error() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_manifests");
    check_folder(&folder, |text, name| match rapidbyte_pipeline::Manifest::from_yaml(text, name) {
        Ok(_) => panic!("{name} was accepted"),
        Err(errors) => errors,
    });
}

fn check_folder(folder: &Path, refuse: impl Fn(&str, &str) -> rapidbyte_pipeline::DocumentErrors) {
    let mut wrong = Vec::new();
    let mut codes = BTreeSet::new();
    for path in files(folder) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let errors = refuse(&fs::read_to_string(&path).unwrap(), name);
        assert!(!errors.errors.is_empty(), "{name}: refused without an error");
        codes.extend(errors.errors.iter().map(|error| error.code));
        let actual = errors.render();
        let json = serde_json::to_string(&errors).unwrap();
        for shown in [&actual, &json, &format!("{errors:?}")] {
            assert!(!shown.contains(SECRET), "{name}: the secret is shown:\n{shown}");
        }

        let expected_path = path.with_extension("txt");
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(&expected_path, &actual).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if actual != expected {
            wrong.push(format!("== {name}\n-- expected\n{expected}\n-- actual\n{actual}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(codes.len() > 10, "the folder covers {codes:?} only");
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}
