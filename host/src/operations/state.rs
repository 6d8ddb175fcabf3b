//! `rapidbyte state`: what is remembered of a document's pipeline between runs.

use std::path::PathBuf;

use rapidbyte_core::ports::{RunRecord, SavedPosition, StateStore, TaskKey};
use serde::Serialize;

use super::document::Document;
use crate::error::HostError;
use crate::settings::Host;

/// What state holds of one pipeline.
#[derive(Debug, Clone, Serialize)]
pub struct StateReport {
    pub pipeline: String,
    pub location: PathBuf,
    /// False: there is no state yet, and none was made by looking.
    pub exists: bool,
    pub positions: Vec<SavedPosition>,
    /// The newest first.
    pub runs: Vec<RunRecord>,
}

impl Host {
    /// Shows the saved positions and the last runs. Does not make a state where there is none.
    pub async fn show_state(&self, document: &Document, runs: u32) -> Result<StateReport, HostError> {
        let pipeline = document.pipeline.name.value.clone();
        let location = self.state_path(document);
        if !location.exists() {
            return Ok(StateReport {
                pipeline,
                location,
                exists: false,
                positions: Vec::new(),
                runs: Vec::new(),
            });
        }
        let state = self.open_state(document)?;
        let positions = state.positions(Some(&pipeline)).await?;
        let runs = state.runs(Some(&pipeline), runs).await?;
        Ok(StateReport { pipeline, location, exists: true, positions, runs })
    }

    /// Forgets the positions of one stream, or of all; answers what was forgotten. Refused while the stream runs.
    pub async fn reset_state(
        &self,
        document: &Document,
        stream: Option<&str>,
    ) -> Result<Vec<TaskKey>, HostError> {
        if let Some(stream) = stream {
            document.require_stream(stream)?;
        }
        let state = self.open_state(document)?;
        Ok(state.reset(&document.pipeline.name.value, stream).await?)
    }
}
