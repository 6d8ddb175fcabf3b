//! `rapidbyte check`: everything that can be known before anything moves.

use std::sync::Arc;

use rapidbyte_core::ports::Observer;
use rapidbyte_engine::{self as engine, Cancellation, CheckReport, PipelineSpec, PlanOptions};
use rapidbyte_pipeline::DocumentErrors;
use serde::Serialize;

use super::document::{self, Document};
use crate::connector::build::BuildProgress;
use crate::error::HostError;
use crate::provision::PackageOptions;
use crate::settings::Host;

/// What a check found.
#[derive(Debug, Serialize)]
pub struct Checked {
    #[serde(flatten)]
    pub report: CheckReport,
    pub connectors: Vec<ConnectorGrants>,
    /// What is wrong with the pipeline, at its place in the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<DocumentErrors>,
}

/// What one connector of the pipeline may reach.
#[derive(Debug, Serialize)]
pub struct ConnectorGrants {
    pub connector: String,
    /// `host:port`.
    pub endpoints: Vec<String>,
    pub folders: Vec<String>,
    /// Names only.
    pub environment: Vec<String>,
}

impl Host {
    /// Checks a document with everything it names. An error means that there was nothing to check.
    pub async fn check(
        &self,
        document: &Document,
        observer: Arc<dyn Observer>,
        cancellation: Cancellation,
        packages: &PackageOptions,
        progress: &mut dyn BuildProgress,
    ) -> Result<Checked, HostError> {
        let loaded = self.load_all(document, packages, progress).await?;
        let ports = self.ports(document, observer, cancellation).await?;
        let spec = PipelineSpec::from_document(&document.pipeline);
        let report = engine::check(&spec, &loaded.connectors(), &ports, &PlanOptions::default()).await;
        self.as_recorded()?;
        let problems: Vec<_> = report.items.iter().filter_map(|item| item.problem.clone()).collect();
        let document = (!problems.is_empty()).then(|| document::point(&document.pipeline, &problems));
        let connectors = loaded.in_order().map(|loaded| ConnectorGrants {
            connector: loaded.manifest.id(),
            endpoints: loaded
                .grants
                .endpoints
                .iter()
                .map(|endpoint| format!("{}:{}", endpoint.host, endpoint.port))
                .collect(),
            folders: loaded
                .grants
                .folders
                .iter()
                .map(|folder| {
                    format!("{}{}", folder.path.display(), if folder.writable { " (writable)" } else { "" })
                })
                .collect(),
            environment: loaded.grants.env.iter().map(|(name, _)| name.clone()).collect(),
        });
        Ok(Checked { connectors: connectors.collect(), report, document })
    }
}
