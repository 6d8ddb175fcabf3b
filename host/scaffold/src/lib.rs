//! New connector projects, the SDK that they are built with, and new workspaces: all travel inside the binary, so that nothing but it and
//! Rust is needed. It writes files below the folders it is given and refuses to know terminals, pipelines and WebAssembly.
//!
//! | module | owns |
//! | --- | --- |
//! | [`name`] | what a connector may be called |
//! | [`sdk`] | the SDK in the user's folder |
//! | [`project`] | a project made from its template |
//! | [`workspace`] | a workspace with an example |

pub mod name;
mod packed;
mod place;
pub mod project;
pub mod sdk;
pub mod workspace;

use std::path::PathBuf;

pub use name::{BadName, Role};
pub use project::{Language, Project};
pub use workspace::Workspace;

/// Why a project or a workspace was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Name(#[from] BadName),
    #[error("`{}` exists and is not empty", path.display())]
    Exists { path: PathBuf },
    #[error("the path `{}` cannot stand in a project's files", path.display())]
    Path { path: PathBuf },
    #[error("cannot write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}
