//! The settings that hold for a document: `rapidbyte.toml` of the workspace it lies in, and below it the shared tables of the
//! user's `config.toml`. What they mean is the pipeline room's business.

use std::path::{Path, PathBuf};

use rapidbyte_install::settings::CONFIG_FILE_NAME;
use rapidbyte_pipeline::settings::PIPELINES_FOLDER_DEFAULT;
use rapidbyte_pipeline::{ProjectSettings, decode};

use crate::error::HostError;
use crate::settings::{Host, WORKSPACE_FILE};

impl Host {
    /// The workspace that a path lies in, if it lies in one.
    pub fn workspace(&self, path: &Path) -> Option<PathBuf> {
        let path = std::path::absolute(path).ok()?;
        path.ancestors().find(|folder| folder.join(WORKSPACE_FILE).is_file()).map(Path::to_owned)
    }

    /// Where the pipelines of a folder are: in it, or, if it is a workspace, where that says.
    pub fn pipelines_folder(&self, folder: &Path) -> Result<PathBuf, HostError> {
        if !folder.join(WORKSPACE_FILE).is_file() {
            return Ok(folder.to_owned());
        }
        let settings = self.project_settings(&folder.join(WORKSPACE_FILE))?;
        Ok(folder.join(settings.pipelines.as_deref().unwrap_or(PIPELINES_FOLDER_DEFAULT)))
    }

    /// What holds for the pipelines at a path where they do not say.
    pub fn project_settings(&self, path: &Path) -> Result<ProjectSettings, HostError> {
        let environment = &self.settings.environment;
        let environment = |name: &str| environment(name);
        let user = &self.settings.home;
        let shared = match read(&user.join(CONFIG_FILE_NAME))? {
            Some((text, name)) => ProjectSettings::parse_shared(&text, &name, user, &environment),
            None => Ok(ProjectSettings::default()),
        };
        let shared = shared.map_err(HostError::Document)?;
        let settings = match self.workspace(path) {
            Some(folder) => match read(&folder.join(WORKSPACE_FILE))? {
                Some((text, name)) => ProjectSettings::parse(&text, &name, &folder, &environment)
                    .map_err(HostError::Document)?
                    .over(shared),
                None => shared,
            },
            None => shared,
        };
        for secret in &settings.hidden {
            self.settings.redactor.register(&secret.value);
        }
        Ok(settings)
    }
}

/// A file's text and what messages call it; none where there is no file.
fn read(path: &Path) -> Result<Option<(String, String)>, HostError> {
    let name = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => {
            let text = decode(&bytes, &name).map_err(HostError::Document)?.to_owned();
            Ok(Some((text, name)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HostError::Read { path: path.to_owned(), source }),
    }
}
