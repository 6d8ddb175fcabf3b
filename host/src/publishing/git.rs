//! The version control of a connector's project, asked through `git` itself: the commit that a build is of, and whether it is of
//! that commit alone.

use std::path::Path;
use std::process::Command;

use rapidbyte_publish::provenance::{Source, origin_uri};

/// Changed files that are named.
const CHANGES_SHOWN: usize = 5;

/// What is known of a folder's sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// It is under no version control, or `git` is not there to ask.
    Unknown,
    /// Nothing differs from the commit.
    Clean(Source),
    /// Some files do; the first of them.
    Dirty { changes: Vec<String>, more: usize },
}

/// Asks about a project's folder and the folders of crates that it is built from, where those are in the same repository.
pub fn tree(folder: &Path, also: &[&Path]) -> Tree {
    let Some(top) = git(folder, &["rev-parse", "--show-toplevel"]) else { return Tree::Unknown };
    // A repository without a commit has nothing to name.
    let Some(commit) = git(folder, &["rev-parse", "--verify", "HEAD^{commit}"]) else {
        return Tree::Unknown;
    };
    let top = Path::new(top.trim_end());
    let inside = also.iter().filter(|path| path.canonicalize().is_ok_and(|path| path.starts_with(top)));
    let mut arguments = vec!["status", "--porcelain=v1", "--untracked-files=normal", "--", "."];
    arguments.extend(inside.filter_map(|path| path.to_str()));
    let Some(status) = git(folder, &arguments) else { return Tree::Unknown };
    let mut changes: Vec<String> =
        status.lines().map(|line| line.get(3..).unwrap_or(line).to_owned()).collect();
    if !changes.is_empty() {
        let more = changes.len().saturating_sub(CHANGES_SHOWN);
        changes.truncate(CHANGES_SHOWN);
        return Tree::Dirty { changes, more };
    }
    let remote = git(folder, &["config", "--get", "remote.origin.url"]);
    let prefix = git(folder, &["rev-parse", "--show-prefix"]).unwrap_or_default();
    let prefix = prefix.trim().trim_end_matches('/');
    Tree::Clean(Source {
        uri: remote.as_deref().map(str::trim).and_then(origin_uri),
        commit: commit.trim().to_owned(),
        path: if prefix.is_empty() { ".".to_owned() } else { prefix.to_owned() },
    })
}

/// What `git` says; none if it fails.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
