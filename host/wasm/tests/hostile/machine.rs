//! Environment and files.

use rapidbyte_core::grants::Folder;

use super::*;

#[test]
pub fn read_environment() {
    let mut rig = Rig::source("read_environment");
    rig.grants.env.push(("GRANTED".into(), "yes".into()));
    let (_, outcome) = succeeds(rig);
    assert_eq!(outcome.services.messages(), ["GRANTED=yes", "0 arguments"]);
}

/// A granted folder beside one that is not, with a symbolic link from the one into the other.
struct Disk {
    root: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["granted", "other"] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
            std::fs::write(root.path().join(folder).join("file"), "contents").unwrap();
        }
        #[cfg(unix)]
        for (link, to) in [("link", "../other/file"), ("folder", "../other"), ("absolute", "/etc/passwd")] {
            std::os::unix::fs::symlink(to, root.path().join("granted").join(link)).unwrap();
        }
        Disk { root }
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.root.path().join(path)
    }

    fn rig(&self, behaviour: &str, writable: bool, paths: &[&str]) -> Rig {
        let paths: Vec<_> = paths.iter().map(|path| self.path(path)).collect();
        let mut rig = Rig::source(behaviour).paths(&paths.iter().map(AsRef::as_ref).collect::<Vec<_>>());
        rig.grants.folders.push(Folder { path: self.path("granted"), writable });
        rig
    }
}

/// What a guest said of each path, without the path.
fn verdicts(outcome: &Outcome) -> Vec<String> {
    let messages = outcome.services.messages();
    messages
        .iter()
        .map(|message| message.split_once(": ").unwrap().1.split(' ').next().unwrap().to_owned())
        .collect()
}

#[test]
pub fn read_files() {
    let disk = Disk::new();
    let outside = [
        "other/file",
        "granted/../other/file",
        "granted/link",
        "granted/folder/file",
        "granted/absolute",
        "/etc/passwd",
        "/proc/self/environ",
    ];
    let (_, outcome) = succeeds(disk.rig("read_files", true, &outside));
    assert_eq!(verdicts(&outcome), vec!["refused"; outside.len()], "{:?}", outcome.services.messages());
    let (_, outcome) = succeeds(disk.rig("read_files", false, &["granted/file", "granted/./file"]));
    assert_eq!(verdicts(&outcome), ["contents", "contents"]);
    let mut nothing = disk.rig("read_files", false, &["granted/file"]);
    nothing.grants.folders.clear();
    assert_eq!(verdicts(&succeeds(nothing).1), ["refused"]);
}

#[test]
pub fn write_files() {
    let disk = Disk::new();
    let (_, outcome) = succeeds(disk.rig("write_files", false, &["granted/file", "granted/new"]));
    assert_eq!(verdicts(&outcome), ["refused", "refused"]);
    let outside = ["other/file", "granted/../other/new", "granted/link", "granted/folder/new"];
    let (_, outcome) = succeeds(disk.rig("write_files", true, &outside));
    assert_eq!(verdicts(&outcome), vec!["refused"; outside.len()], "{:?}", outcome.services.messages());
    assert_eq!(std::fs::read_to_string(disk.path("granted/file")).unwrap(), "contents");
    assert_eq!(std::fs::read_to_string(disk.path("other/file")).unwrap(), "contents");
    let (_, outcome) = succeeds(disk.rig("write_files", true, &["granted/new"]));
    assert_eq!(verdicts(&outcome), ["written"]);
    assert_eq!(std::fs::read_to_string(disk.path("granted/new")).unwrap(), "written");
}

#[test]
pub fn a_granted_folder_that_is_not_there_is_an_error_of_the_config() {
    block_on(async {
        let mut rig = Rig::source("echo");
        rig.grants.folders.push(Folder { path: "/nonexistent/folder".into(), writable: false });
        let services = Arc::new(FakeServices::default());
        let io = rapidbyte_core::ports::InstanceIo {
            inlet: None,
            outlet: None,
            services,
            limits: rig.limits,
            memory_bytes_max: MIB,
        };
        let Err(error) = rapidbyte_core::ports::Connector::start(&rig.load(), io).await else {
            panic!("it starts")
        };
        assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Config, "folder_not_usable"));
        assert!(error.message.contains("/nonexistent/folder"));
    });
}
