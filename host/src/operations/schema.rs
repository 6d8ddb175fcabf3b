//! `rapidbyte schema`: what a document's source offers.

use std::sync::Arc;

use rapidbyte_core::Catalog;
use rapidbyte_core::ports::Observer;
use rapidbyte_engine::{self as engine, Cancellation, PipelineSpec};

use super::document::Document;
use crate::connector::build::BuildProgress;
use crate::error::HostError;
use crate::provision::PackageOptions;
use crate::settings::Host;

impl Host {
    /// Asks the document's source for its catalog. Only the source is built and started.
    pub async fn discover(
        &self,
        document: &Document,
        observer: Arc<dyn Observer>,
        cancellation: Cancellation,
        packages: &PackageOptions,
        progress: &mut dyn BuildProgress,
    ) -> Result<Catalog, HostError> {
        let pipeline = &document.pipeline;
        let connector = &pipeline.source.connector;
        let provided = self.provide(document, [connector], packages).await?;
        let prepared = self.prepare(connector, pipeline, document.folder(), &provided, progress)?;
        let source = prepared.load(&self.engine()?).await?;
        let ports = self.ports(document, observer, cancellation).await?;
        let spec = PipelineSpec::from_document(pipeline);
        engine::discover(&spec.name, &source.plugged, &spec.resources, &ports)
            .await
            .map_err(|fault| HostError::Fault(Box::new(fault)))
    }
}
