//! Asking connectors about themselves: what they can do, which streams there are. Nothing is moved.

use std::sync::Arc;

use rapidbyte_core::limits::CATALOG_STREAMS_MAX;
use rapidbyte_core::ports::{Instance, InstanceIo, TaskKey};
use rapidbyte_core::*;

use crate::error::{Fault, Origin};
use crate::instance::{Opened, open};
use crate::memory::divide;
use crate::plan::limits;
use crate::services::{QuietServices, Voice};
use crate::spec::{Plugged, Ports, ResourceSpec};

/// What the connectors said about themselves.
pub(crate) struct Survey {
    pub catalog: Catalog,
    pub source: OpenInfo,
    pub destination: OpenInfo,
}

/// The source's catalog.
pub async fn discover(
    pipeline: &str,
    source: &Plugged,
    resources: &ResourceSpec,
    ports: &Ports,
) -> Result<Catalog, Fault> {
    ask_source(pipeline, source, resources, ports).await.map(|(_, catalog)| catalog)
}

/// Opens the source and asks for its catalog.
pub(crate) async fn ask_source(
    pipeline: &str,
    source: &Plugged,
    resources: &ResourceSpec,
    ports: &Ports,
) -> Result<(OpenInfo, Catalog), Fault> {
    let fault = |error| Fault::new(Origin::Source, source.connector.id(), error);
    let Opened { mut instance, info } =
        ask(pipeline, source, ConnectorRole::Source, resources, ports).await?;
    let catalog = catalog_of(&mut *instance).await.map_err(fault)?;
    let _ = instance.close().await;
    Ok((info, catalog))
}

/// The catalog of an opened source, held against its bounds.
pub(crate) async fn catalog_of(source: &mut dyn Instance) -> Result<Catalog, ConnectorError> {
    let request = RunRequest { stream: None, phase: RunPhase::Discover, dry_run: false, max_records: None };
    let summary = source.run(request).await?;
    let catalog = summary.catalog.ok_or_else(|| {
        ConnectorError::internal("no_catalog", "the source answered discovery without a catalog")
    })?;
    if catalog.streams.len() > CATALOG_STREAMS_MAX {
        let message =
            format!("the catalog has {} streams, the limit is {CATALOG_STREAMS_MAX}", catalog.streams.len());
        return Err(ConnectorError::internal("catalog_too_large", message));
    }
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = catalog.streams.iter().find(|stream| !seen.insert(stream.name.as_str())) {
        let message = format!("the catalog has stream `{}` twice", twice.name);
        return Err(ConnectorError::internal("catalog_ambiguous", message));
    }
    Ok(catalog)
}

/// Opens the destination for what it says of itself.
pub(crate) async fn ask_destination(
    pipeline: &str,
    destination: &Plugged,
    resources: &ResourceSpec,
    ports: &Ports,
) -> Result<OpenInfo, Fault> {
    let Opened { mut instance, info } =
        ask(pipeline, destination, ConnectorRole::Destination, resources, ports).await?;
    let _ = instance.close().await;
    Ok(info)
}

/// Opens a connector that is asked, not run.
pub(crate) async fn ask(
    pipeline: &str,
    plugged: &Plugged,
    role: ConnectorRole,
    resources: &ResourceSpec,
    ports: &Ports,
) -> Result<Opened, Fault> {
    let origin = match role {
        ConnectorRole::Source => Origin::Source,
        ConnectorRole::Destination => Origin::Destination,
        ConnectorRole::Transform => Origin::Transform(0),
    };
    let (memory, _) = divide(resources, 1, 2, 0);
    let key = TaskKey { pipeline: pipeline.to_owned(), stream: String::new(), partition: 0 };
    let io = quiet_io(plugged, key, false, limits(resources, &memory, None), memory.guest_bytes_max, ports);
    open(plugged, role, io).await.map_err(|error| Fault::new(origin, plugged.connector.id(), error))
}

/// What a connector that is asked, not run, is given: nothing to take from, nowhere to put.
pub(crate) fn quiet_io(
    plugged: &Plugged,
    key: TaskKey,
    of_stream: bool,
    limits: Limits,
    guest_bytes_max: u64,
    ports: &Ports,
) -> InstanceIo {
    let connector = Voice { ports: ports.clone(), key, of_stream, id: plugged.connector.id().to_owned() };
    InstanceIo {
        inlet: None,
        outlet: None,
        services: Arc::new(QuietServices { ports: ports.clone(), connector }),
        limits,
        memory_bytes_max: plugged.connector.memory_bytes_max().min(guest_bytes_max),
    }
}
