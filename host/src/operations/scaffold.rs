//! `rapidbyte connector scaffold` and `rapidbyte connector sdk`: a new connector project, and what it is built with; `rapidbyte init`:
//! a new workspace.

use std::path::{Path, PathBuf};

use rapidbyte_scaffold::{Language, Project, Role, Workspace, project, sdk, workspace};

use crate::error::HostError;
use crate::settings::Host;

/// What is to be made.
#[derive(Debug, Clone, Copy)]
pub struct ScaffoldOptions<'a> {
    pub name: &'a str,
    /// None: the one that the name says.
    pub role: Option<Role>,
    pub language: Language,
    /// Must be new or empty.
    pub folder: &'a Path,
}

impl Host {
    /// Makes a connector project that builds, passes its tests and runs as it is.
    pub fn scaffold_connector(&self, options: ScaffoldOptions<'_>) -> Result<Project, HostError> {
        let ScaffoldOptions { name, role, language, folder } = options;
        Ok(project::create(name, role, language, folder, &self.settings.home)?)
    }

    /// Makes a workspace with an example in a folder that is new or empty.
    pub fn init_workspace(&self, folder: &Path) -> Result<Workspace, HostError> {
        let schema = format!("{:#}\n", rapidbyte_pipeline::json_schema());
        Ok(workspace::create(folder, &[("pipeline.schema.json", schema)])?)
    }

    /// The folder of the SDK that belongs to this version; it is put there if it is missing.
    pub fn unpack_sdk(&self) -> Result<PathBuf, HostError> {
        Ok(sdk::unpack(&self.settings.home)?)
    }
}
