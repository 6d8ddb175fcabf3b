//! Every way a call of the façade can fail, by who must act; each with a stable code and, where there is one, a next step.

use std::path::PathBuf;

use rapidbyte_core::ConnectorError;
use rapidbyte_core::ports::StateError;
use rapidbyte_engine::Fault;
use rapidbyte_install::InstallError;
use rapidbyte_pipeline::DocumentErrors;
use rapidbyte_publish::PushError;
use rapidbyte_publish::index::IndexingError;
use rapidbyte_scaffold::Error as Scaffold;
use rapidbyte_state::transfer::TransferError;
use rapidbyte_trust::IndexError;
use rapidbyte_wasm::ComponentError;
use rapidbyte_wasm::network::cassette::CassetteError;

use crate::operations::publish::PublishError;

/// Who can mend an error; the command line's exit codes follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The user's document or manifest is wrong.
    Document,
    /// Something about this machine: files, folders, tools, state.
    Environment,
    /// The connector is broken.
    Connector,
    /// The system a connector talks to.
    Remote,
    /// Whoever asked the run to end.
    Operator,
    /// Whoever typed the command.
    Typist,
    /// Whoever answers for what runs here: a package is not what was agreed to.
    Judge,
}

#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("{0}")]
    Document(DocumentErrors),
    #[error("cannot read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("`{}` has no pipelines: no file ends in `.yaml` or `.yml`", folder.display())]
    NoPipelines { folder: PathBuf },
    #[error("the pipeline has no stream `{stream}`")]
    UnknownStream { stream: String, known: String },
    #[error("the WebAssembly engine cannot start")]
    Engine(#[source] ComponentError),
    #[error("`{}` has no `rapidbyte-plugin.yaml`, so it is not a connector", folder.display())]
    NoManifest { folder: PathBuf },
    #[error("`{}` has no crate of its own: there is no package in its `Cargo.toml`", folder.display())]
    NoCrate { folder: PathBuf },
    #[error("cannot run `{program}`")]
    NoTool {
        program: &'static str,
        #[source]
        source: std::io::Error,
    },
    /// A project in a language whose tool is not installed.
    #[error("`{tool}` is not installed for `{}`", folder.display())]
    NoComponentizer { tool: &'static str, install: &'static str, folder: PathBuf },
    #[error("`{}` is no JSON: {message}", path.display())]
    BadSchema { path: PathBuf, message: String },
    #[error("the Rust target for WebAssembly components is not installed")]
    NoTarget { install: String },
    #[error("cargo failed in `{}`: {message}", folder.display())]
    Cargo { folder: PathBuf, message: String },
    /// The compiler has said why.
    #[error("`{}` does not compile", folder.display())]
    Compile { folder: PathBuf },
    #[error("cargo built no component in `{}`", folder.display())]
    NoComponent { folder: PathBuf },
    #[error("`{}` is not a connector", path.display())]
    Component {
        path: PathBuf,
        #[source]
        error: ComponentError,
    },
    #[error("`{}` is not a connector: it carries no manifest", path.display())]
    NotDescribed { path: PathBuf },
    #[error("`{}` and its component disagree: {what}", manifest.display())]
    Disagree { manifest: PathBuf, what: String },
    /// A connector, state or the engine failed outside of any stream.
    #[error("{0}")]
    Fault(Box<Fault>),
    #[error("stopped before anything was moved")]
    Cancelled,
    #[error(transparent)]
    State(#[from] StateError),
    /// A whole state cannot be moved.
    #[error(transparent)]
    Transfer(TransferError),
    #[error(transparent)]
    Cassette(#[from] CassetteError),
    /// A recording was played and something else was done.
    #[error("{message}")]
    NotAsRecorded { message: String },
    #[error(transparent)]
    Scaffold(#[from] rapidbyte_scaffold::Error),
    #[error(transparent)]
    Install(Box<InstallError>),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Indexing(#[from] IndexingError),
}

impl From<InstallError> for HostError {
    fn from(error: InstallError) -> Self {
        match error {
            // Shown as documents are, place by place.
            InstallError::Settings(errors) => HostError::Document(errors),
            error => HostError::Install(Box::new(error)),
        }
    }
}

impl HostError {
    /// Stable, for machines.
    pub fn code(&self) -> &str {
        match self {
            Self::Document(_) => "document",
            Self::Read { .. } | Self::Write { .. } => "file",
            Self::NoPipelines { .. } => "no_pipelines",
            Self::UnknownStream { .. } => "unknown_stream",
            Self::Engine(error) => error.code(),
            Self::Fault(fault) => &fault.error.code,
            Self::Cancelled => "cancelled",
            Self::Install(error) => error.code(),
            Self::Publish(error) => error.code(),
            Self::Index(error) => error.code(),
            Self::Indexing(error) => error.code(),
            Self::NoManifest { .. } => "connector_no_manifest",
            Self::NoCrate { .. } => "connector_no_crate",
            Self::NoTool { .. } | Self::NoComponentizer { .. } => "tool_missing",
            Self::BadSchema { .. } => "config_schema_malformed",
            Self::NoTarget { .. } => "rust_target_missing",
            Self::Cargo { .. } => "cargo_failed",
            Self::Compile { .. } => "connector_does_not_compile",
            Self::NoComponent { .. } => "connector_no_component",
            Self::Component { error, .. } => error.code(),
            Self::NotDescribed { .. } => "connector_not_described",
            Self::Disagree { .. } => "connector_manifest_disagrees",
            Self::Cassette(_) => "cassette",
            Self::NotAsRecorded { .. } => "cassette_mismatch",
            Self::Scaffold(Scaffold::Name(_)) => "bad_name",
            Self::Scaffold(Scaffold::Exists { .. }) => "folder_exists",
            Self::Scaffold(Scaffold::Path { .. }) => "path_not_usable",
            Self::Scaffold(Scaffold::Write { .. }) => "file",
            Self::State(StateError::Busy { .. }) => "state_busy",
            Self::State(StateError::TakenOver { .. }) => "state_taken_over",
            Self::State(StateError::TooNew { .. }) => "state_too_new",
            Self::State(StateError::Unavailable { .. }) | Self::Transfer(TransferError::State(_)) => {
                "state_unavailable"
            }
            Self::Transfer(TransferError::NotEmpty { .. }) => "state_not_empty",
            Self::Transfer(TransferError::Same { .. }) => "state_same",
            Self::Transfer(TransferError::Document { .. }) => "state_document",
            Self::Transfer(TransferError::Write(_)) => "file",
        }
    }

    pub fn actor(&self) -> Actor {
        match self {
            Self::Document(_) | Self::NoPipelines { .. } | Self::UnknownStream { .. } => Actor::Document,
            Self::Fault(fault) => actor_of(&fault.error),
            Self::Cancelled => Actor::Operator,
            Self::Transfer(TransferError::NotEmpty { .. } | TransferError::Same { .. }) => Actor::Typist,
            Self::Install(error) => match error.actor() {
                rapidbyte_install::error::Actor::Operator => Actor::Typist,
                rapidbyte_install::error::Actor::Document => Actor::Document,
                rapidbyte_install::error::Actor::Environment => Actor::Environment,
                rapidbyte_install::error::Actor::Package => Actor::Connector,
                rapidbyte_install::error::Actor::Judge => Actor::Judge,
                rapidbyte_install::error::Actor::Remote => Actor::Remote,
            },
            Self::Publish(PublishError::Push(PushError::Registry(_))) => Actor::Remote,
            Self::Publish(_) => Actor::Connector,
            Self::Index(IndexError::Registry(_) | IndexError::Missing { .. })
            | Self::Indexing(IndexingError::Registry(_)) => Actor::Remote,
            Self::Indexing(IndexingError::NoRelease { .. }) => Actor::Typist,
            Self::Indexing(IndexingError::Key(_)) => Actor::Environment,
            Self::Index(_) => Actor::Judge,
            Self::NoManifest { .. }
            | Self::NoCrate { .. }
            | Self::BadSchema { .. }
            | Self::Compile { .. }
            | Self::NoComponent { .. }
            | Self::Component { .. }
            | Self::NotDescribed { .. }
            | Self::NotAsRecorded { .. }
            | Self::Disagree { .. } => Actor::Connector,
            Self::Read { .. }
            | Self::Write { .. }
            | Self::Engine(_)
            | Self::NoTool { .. }
            | Self::NoComponentizer { .. }
            | Self::NoTarget { .. }
            | Self::Cargo { .. }
            | Self::Cassette(_)
            | Self::Scaffold(_)
            | Self::State(_)
            | Self::Transfer(_) => Actor::Environment,
        }
    }

    /// The next step, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Install(error) => return error.hint(),
            Self::Publish(error) => return error.hint(),
            Self::Index(error) => return error.hint().map(str::to_owned),
            Self::Indexing(IndexingError::NoRelease { .. }) => {
                "`rapidbyte registry index` makes it of what is there".to_owned()
            }
            Self::UnknownStream { known, .. } => format!("it has `{known}`"),
            Self::NoManifest { .. } => "point to the folder of a connector, or to a built `.wasm` file".to_owned(),
            Self::NoTool { program: "cargo" | "rustc", .. } => {
                "install Rust, or use connectors that are built already (`use: ./name.wasm`)".to_owned()
            }
            Self::NoTool { program: "node", .. } => "install Node.js 20 or newer".to_owned(),
            Self::NoComponentizer { install, folder, .. } => {
                format!("run `cd {} && {install}`", folder.display())
            }
            Self::NoTarget { install } => format!("run `{install}`"),
            Self::NoComponent { .. } => "the crate needs `[lib] crate-type = [\"cdylib\"]`".to_owned(),
            Self::Component { .. } => {
                "its struct needs `#[connector(source)]`, `#[connector(destination)]` or `#[connector(transform)]`"
                    .to_owned()
            }
            Self::NotDescribed { .. } => {
                "build it with `rapidbyte connector build`, which puts the manifest into the component".to_owned()
            }
            Self::Cassette(CassetteError::NotEmpty { .. }) => "name another folder, or delete this one".to_owned(),
            Self::Cassette(CassetteError::NoRecording { .. }) => "make one with `--record`".to_owned(),
            Self::NotAsRecorded { .. } => {
                "if connector and pipeline are right, record anew with `--record`".to_owned()
            }
            Self::Scaffold(Scaffold::Name(bad)) => match &bad.suggestion {
                Some(suggestion) => format!("`{suggestion}` would do"),
                None => "name it like `source-jira`".to_owned(),
            },
            Self::Scaffold(Scaffold::Exists { .. }) => {
                "nothing is overwritten: name another folder with `--path`, or remove this one".to_owned()
            }
            Self::Scaffold(Scaffold::Path { .. }) => {
                "set RAPIDBYTE_HOME to a folder without quotes and other special characters in its path".to_owned()
            }
            Self::Transfer(TransferError::NotEmpty { .. }) => {
                "`--overwrite` replaces everything in it; export it first".to_owned()
            }
            Self::Transfer(TransferError::Same { .. }) => "name another place in `--to`".to_owned(),
            Self::Transfer(TransferError::Document { .. }) => {
                "export the state anew with `rapidbyte state export`; nothing was imported".to_owned()
            }
            Self::State(StateError::Busy { .. }) => "wait for that run to end, or stop it".to_owned(),
            Self::State(StateError::TakenOver { .. }) => {
                "nothing to do: the other run goes on from the last saved checkpoint".to_owned()
            }
            Self::State(StateError::TooNew { .. }) => "use the newer version of rapidbyte that wrote it".to_owned(),
            _ => return None,
        })
    }
}

/// Who can mend a connector's error.
pub fn actor_of(error: &ConnectorError) -> Actor {
    use rapidbyte_core::ErrorCategory::*;
    match error.category {
        Config | Schema => Actor::Document,
        Auth | Permission | RateLimit | TransientNetwork | TransientDb | Data => Actor::Remote,
        Internal | Frame => Actor::Connector,
    }
}
