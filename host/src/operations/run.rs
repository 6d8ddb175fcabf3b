//! `rapidbyte run`: a document's connectors are built and loaded, its state is opened, the engine does the rest.

use std::sync::Arc;

use rapidbyte_core::ports::{Observer, RunEvent, StateStore};
use rapidbyte_engine::{
    self as engine, Cancellation, Connectors, PipelineSpec, PlanError, PlanOptions, Ports, RunReport,
};
use rapidbyte_pipeline::Pipeline;

use super::document::{self, Document};
use super::letters::{self, Delivery};
use crate::connector::build::BuildProgress;
use crate::connector::load::Loaded;
use crate::error::HostError;
use crate::notify;
use crate::provision::PackageOptions;
use crate::settings::Host;

/// What a caller decides about a run.
pub struct RunOptions {
    /// The streams to move; empty: all of the document.
    pub streams: Vec<String>,
    pub observer: Arc<dyn Observer>,
    pub cancellation: Cancellation,
    pub packages: PackageOptions,
}

/// The connectors of a document, loaded.
pub struct LoadedPipeline {
    pub source: Loaded,
    /// None where the host transforms.
    pub transforms: Vec<Option<Loaded>>,
    pub destination: Loaded,
}

impl LoadedPipeline {
    pub fn connectors(&self) -> Connectors {
        Connectors {
            source: self.source.plugged.clone(),
            transforms: self.transforms.iter().map(|it| it.as_ref().map(|it| it.plugged.clone())).collect(),
            destination: self.destination.plugged.clone(),
        }
    }

    /// Source, transforms, destination: the order in which data passes them.
    pub fn in_order(&self) -> impl Iterator<Item = &Loaded> {
        let transforms = self.transforms.iter().flatten();
        std::iter::once(&self.source).chain(transforms).chain(std::iter::once(&self.destination))
    }
}

impl Host {
    /// Executes a pipeline to its end, and then its hooks. What failed in a stream is in the report; an error means that
    /// nothing was moved.
    pub async fn run(
        &self,
        document: &Document,
        options: RunOptions,
        progress: &mut dyn BuildProgress,
    ) -> Result<RunReport, HostError> {
        let outcome = self.run_pipeline(document, options, progress).await;
        self.after_run(document, outcome).await
    }

    async fn run_pipeline(
        &self,
        document: &Document,
        options: RunOptions,
        progress: &mut dyn BuildProgress,
    ) -> Result<RunReport, HostError> {
        let pipeline = &document.pipeline;
        for stream in &options.streams {
            document.require_stream(stream)?;
        }
        let spec = PipelineSpec::from_document(pipeline);
        let loaded = self.load_all(document, &options.packages, progress).await?;
        for connector in loaded.in_order() {
            options.observer.observe(RunEvent::PluginLoaded {
                connector: connector.plugged.connector.id(),
                duration_ms: u64::try_from(connector.took.as_millis()).unwrap_or(u64::MAX),
                cached: connector.cached,
            });
        }
        let deliveries = self.deliveries(document, &loaded, &options.packages, progress).await?;
        let ports = self.ports(document, options.observer, options.cancellation).await?;
        let connectors = loaded.connectors();
        let plan_options = PlanOptions { only: options.streams, replay: false };
        let plan = engine::plan(&spec, &connectors, &ports, &plan_options)
            .await
            .map_err(|error| plan_error(pipeline, error));
        self.as_recorded()?;
        let mut report = engine::run(plan?, &connectors, &ports).await;
        if !ports.cancellation.is_requested() {
            letters::deliver(&spec, deliveries, &ports, &mut report).await?;
        }
        notify::notify(pipeline, &mut report).await;
        self.as_recorded()?;
        Ok(report)
    }

    /// What the engine sees of the world.
    pub(crate) async fn ports(
        &self,
        document: &Document,
        observer: Arc<dyn Observer>,
        cancellation: Cancellation,
    ) -> Result<Ports, HostError> {
        let state: Arc<dyn StateStore> = self.open_state(document).await?;
        let (sql, redactor) = (Arc::new(rapidbyte_query::Planner), self.settings.redactor.clone());
        let copies = self.copies(document);
        Ok(Ports { state, observer, cancellation, sql, copies, redactor })
    }

    /// Where the document sends dead letters besides the state.
    async fn deliveries(
        &self,
        document: &Document,
        loaded: &LoadedPipeline,
        packages: &PackageOptions,
        progress: &mut dyn BuildProgress,
    ) -> Result<Vec<Delivery>, HostError> {
        let pipeline = &document.pipeline;
        if let Some(table) = &pipeline.destination.dlq_table {
            return Ok(vec![Delivery {
                stream: None,
                name: table.value.clone(),
                destination: loaded.destination.plugged.clone(),
                with_error: true,
            }]);
        }
        let Some(dead_letter) = &pipeline.errors.dead_letter else { return Ok(Vec::new()) };
        let provided = self.provide(document, [&dead_letter.connector], packages).await?;
        let engine = self.engine()?;
        let mut deliveries = Vec::new();
        for stream in pipeline.listed_streams() {
            let connector = dead_letter.connector_for(&stream.name.value);
            let prepared = self.prepare(&connector, pipeline, document.folder(), &provided, progress)?;
            deliveries.push(Delivery {
                stream: Some(stream.name.value.clone()),
                name: format!("{}_dead_letters", stream.name.value),
                destination: prepared.load(&engine).await?.plugged,
                with_error: dead_letter.include_error,
            });
        }
        Ok(deliveries)
    }

    /// Builds and loads everything that the document names.
    pub(crate) async fn load_all(
        &self,
        document: &Document,
        packages: &PackageOptions,
        progress: &mut dyn BuildProgress,
    ) -> Result<LoadedPipeline, HostError> {
        let pipeline = &document.pipeline;
        let folder = document.folder();
        let provided = self.provide(document, pipeline.connectors(), packages).await?;
        let source = self.prepare(&pipeline.source.connector, pipeline, folder, &provided, progress)?;
        let mut transforms = Vec::with_capacity(pipeline.transforms.len());
        for transform in &pipeline.transforms {
            transforms.push(match transform.connector() {
                Some(connector) => Some(self.prepare(connector, pipeline, folder, &provided, progress)?),
                None => None,
            });
        }
        let destination =
            self.prepare(&pipeline.destination.connector, pipeline, folder, &provided, progress)?;

        // What is not in the cache of compiled code is compiled side by side.
        let engine = self.engine()?;
        let source = source.load(&engine);
        let destination = destination.load(&engine);
        let transforms: Vec<_> =
            transforms.into_iter().map(|prepared| prepared.map(|it| it.load(&engine))).collect();
        let mut loaded = Vec::with_capacity(transforms.len());
        for transform in transforms {
            loaded.push(match transform {
                Some(transform) => Some(transform.await?),
                None => None,
            });
        }
        Ok(LoadedPipeline { source: source.await?, transforms: loaded, destination: destination.await? })
    }
}

/// What the planner refused, pointed at in the document where the document is to blame.
pub(crate) fn plan_error(pipeline: &Pipeline, error: PlanError) -> HostError {
    match error {
        PlanError::Refused(problems) => HostError::Document(document::point(pipeline, &problems)),
        PlanError::Connector(fault) => HostError::Fault(Box::new(fault)),
        PlanError::Cancelled => HostError::Cancelled,
    }
}
