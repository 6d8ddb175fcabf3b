//! Waits for files to change. Notifications of the operating system only say when to look; what changed is what differs from
//! the last look, so that an editor's detours by temporary files and a save without an edit wake nobody.
//!
//! What version control ignores, hidden files and caches (`CACHEDIR.TAG`, which Cargo puts into its target folder) are not
//! looked at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ignore::{DirEntry, WalkBuilder};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// What looks the same twice with this time between has been written: a save of several files is one change.
const SETTLED: Duration = Duration::from_millis(50);
/// How often to look where the operating system does not notify.
const POLL: Duration = Duration::from_millis(500);
/// Folders of other languages' tools that carry no tag.
const CACHES: [&str; 2] = ["node_modules", "__pycache__"];

/// Size and time of a file's last change.
type Stamp = (u64, Option<SystemTime>);

/// Some files as they were, to be compared with what they are later.
pub type Stamps = Vec<(PathBuf, Stamp)>;

/// Written by package managers while they build; what is in it follows from what else changed.
const WRITTEN_BY_TOOLS: [&str; 2] = ["Cargo.lock", "package-lock.json"];

/// Looks at some folders and files.
pub struct Watch {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
    seen: BTreeMap<PathBuf, Stamp>,
    /// The folders that are notified about, with when they were made: one that is made anew is another one.
    notified: BTreeMap<PathBuf, Option<SystemTime>>,
    /// None: there are no notifications here.
    watcher: Option<RecommendedWatcher>,
    /// Something happened since it was last awaited; how often does not count.
    stirred: Arc<Notify>,
}

impl Watch {
    /// Looks for the first time. Of `files` the folders are not searched.
    pub fn new(folders: Vec<PathBuf>, files: Vec<PathBuf>) -> Self {
        let stirred = Arc::new(Notify::new());
        let stir = stirred.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Looking is an access, too.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                stir.notify_one();
            }
        });
        let mut watch = Watch {
            folders,
            files,
            seen: BTreeMap::new(),
            notified: BTreeMap::new(),
            watcher: watcher.ok(),
            stirred,
        };
        watch.seen = watch.look();
        watch
    }

    /// How many folders were named.
    pub fn folder_count(&self) -> usize {
        self.folders.len()
    }

    /// Looks at these folders, too, from now on.
    pub fn also(&mut self, folders: Vec<PathBuf>) {
        let new: Vec<PathBuf> = folders.into_iter().filter(|folder| !self.folders.contains(folder)).collect();
        if new.is_empty() {
            return;
        }
        self.folders.extend(new.iter().cloned());
        // What was there before nobody waited for.
        let there =
            self.look().into_iter().filter(|(path, _)| new.iter().any(|folder| path.starts_with(folder)));
        self.seen.extend(there);
    }

    /// What was there of some of the files.
    pub fn stamps(&self, of: impl Fn(&Path) -> bool) -> Stamps {
        self.seen.iter().filter(|(path, _)| of(path)).map(|(path, stamp)| (path.clone(), *stamp)).collect()
    }

    /// Waits until something differs from what this answered last, or from the first look. Answers what was changed, added or
    /// removed. Loses nothing when it is dropped while it waits.
    pub async fn changed(&mut self) -> Vec<PathBuf> {
        loop {
            let mut now = self.look();
            if now != self.seen {
                // Whoever writes may be half way through.
                loop {
                    tokio::time::sleep(SETTLED).await;
                    let later = self.look();
                    if later == now {
                        break;
                    }
                    now = later;
                }
                let changed = differing(&self.seen, &now);
                self.seen = now;
                if !changed.is_empty() {
                    return changed;
                }
            }
            match self.watcher {
                Some(_) => {
                    self.stirred.notified().await;
                    // However much happens, there is time for others between two looks.
                    tokio::time::sleep(SETTLED).await;
                }
                None => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Every file with its stamp. Folders that are new are notified about from now on.
    fn look(&mut self) -> BTreeMap<PathBuf, Stamp> {
        let mut found = BTreeMap::new();
        let mut folders: Vec<PathBuf> =
            self.files.iter().filter_map(|file| Some(file.parent()?.to_owned())).collect();
        for entry in self.walk() {
            match entry.file_type() {
                Some(kind) if kind.is_dir() => folders.push(entry.into_path()),
                _ if is_one_of(&entry, &WRITTEN_BY_TOOLS) => {}
                _ => {
                    if let Ok(metadata) = entry.metadata() {
                        found.insert(entry.into_path(), (metadata.len(), metadata.modified().ok()));
                    }
                }
            }
        }
        for file in &self.files {
            if let Ok(metadata) = std::fs::metadata(file) {
                found.insert(file.clone(), (metadata.len(), metadata.modified().ok()));
            }
        }
        self.notify_about(folders);
        found
    }

    fn walk(&self) -> Vec<DirEntry> {
        let mut folders = self.folders.iter();
        let Some(first) = folders.next() else { return Vec::new() };
        let mut walk = WalkBuilder::new(first);
        for folder in folders {
            walk.add(folder);
        }
        // A folder that was named is looked at even if it lies in one that version control ignores.
        walk.require_git(false).parents(false).filter_entry(|entry| !is_cache(entry));
        // What cannot be read now can be at the next look.
        walk.build().flatten().collect()
    }

    fn notify_about(&mut self, folders: Vec<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for folder in folders {
            // Gone again.
            let Ok(metadata) = std::fs::metadata(&folder) else { continue };
            let made = metadata.created().ok();
            if self.notified.get(&folder) == Some(&made) {
                continue;
            }
            if watcher.watch(&folder, RecursiveMode::NonRecursive).is_err() && folder.is_dir() {
                // There are no more watches to be had: looking now and then must do.
                self.watcher = None;
                return;
            }
            self.notified.insert(folder, made);
        }
    }
}

fn is_cache(entry: &DirEntry) -> bool {
    entry.file_type().is_some_and(|kind| kind.is_dir())
        && (entry.path().join("CACHEDIR.TAG").is_file() || is_one_of(entry, &CACHES))
}

fn is_one_of(entry: &DirEntry, names: &[&str]) -> bool {
    entry.file_name().to_str().is_some_and(|name| names.contains(&name))
}

fn differing(before: &BTreeMap<PathBuf, Stamp>, now: &BTreeMap<PathBuf, Stamp>) -> Vec<PathBuf> {
    let gone = before.keys().filter(|path| !now.contains_key(*path));
    let other = now.iter().filter(|(path, stamp)| before.get(*path) != Some(stamp)).map(|(path, _)| path);
    gone.chain(other).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder like a project's.
    fn project() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for inside in ["src", "target/release", "out"] {
            fs::create_dir_all(folder.path().join(inside)).expect("a folder");
        }
        for (file, text) in [
            (".gitignore", "/out/\n"),
            ("src/lib.rs", "fn one() {}"),
            ("target/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55"),
            ("target/release/lib.wasm", "code"),
            ("out/orders.jsonl", "{}"),
        ] {
            fs::write(folder.path().join(file), text).expect("a file");
        }
        folder
    }

    /// Whether a look finds nothing new.
    fn is_quiet(watch: &mut Watch) -> bool {
        watch.look() == watch.seen
    }

    #[tokio::test]
    async fn what_was_changed_added_or_removed_is_named_once() {
        let folder = project();
        let path = |file: &str| folder.path().join(file);
        let mut watch = Watch::new(vec![folder.path().to_owned()], Vec::new());
        assert!(is_quiet(&mut watch));

        fs::write(path("src/lib.rs"), "fn two_and_more() {}").expect("a file");
        fs::create_dir(path("src/api")).expect("a folder");
        fs::write(path("src/api/mod.rs"), "").expect("a file");
        assert_eq!(watch.changed().await, [path("src/api/mod.rs"), path("src/lib.rs")]);
        assert!(is_quiet(&mut watch));

        fs::remove_file(path("src/api/mod.rs")).expect("the file");
        assert_eq!(watch.changed().await, [path("src/api/mod.rs")]);
    }

    #[tokio::test]
    async fn what_is_ignored_or_built_wakes_nobody() {
        let folder = project();
        let path = |file: &str| folder.path().join(file);
        let mut watch = Watch::new(vec![folder.path().to_owned()], Vec::new());
        fs::write(path("target/release/lib.wasm"), "other code").expect("a file");
        fs::write(path("out/orders.jsonl"), "{} {}").expect("a file");
        fs::write(path(".lib.rs.swp"), "an editor's").expect("a file");
        assert!(is_quiet(&mut watch));
        fs::write(path("src/lib.rs"), "fn another() {}").expect("a file");
        assert_eq!(watch.changed().await, [path("src/lib.rs")]);
    }

    #[tokio::test]
    async fn a_single_file_is_watched_without_its_folder() {
        let folder = project();
        let path = |file: &str| folder.path().join(file);
        let mut watch = Watch::new(Vec::new(), vec![path("pipeline.yaml")]);
        fs::write(path("src/lib.rs"), "fn another() {}").expect("a file");
        assert!(is_quiet(&mut watch));
        fs::write(path("pipeline.yaml"), "name: orders").expect("a file");
        assert_eq!(watch.changed().await, [path("pipeline.yaml")]);
        assert_eq!(watch.stamps(|file| file.ends_with("pipeline.yaml")).len(), 1);
    }

    /// A change while somebody waits wakes them: by the operating system's word, whatever comes first.
    #[tokio::test]
    async fn a_change_wakes_who_waits() {
        let folder = project();
        let file = folder.path().join("src/lib.rs");
        let mut watch = Watch::new(vec![folder.path().to_owned()], Vec::new());
        let (changed, ()) = tokio::join!(watch.changed(), async {
            tokio::task::yield_now().await;
            fs::write(&file, "fn another_one() {}").expect("a file");
        });
        assert_eq!(changed, [file]);
    }
}
