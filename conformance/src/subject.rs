//! The connector under test: loaded as a pipeline would load it, started as often as clauses want. Knows nothing of its
//! source code, only the component, its manifest and the fixture.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use rapidbyte_host::connector::build::BuildProgress;
use rapidbyte_host::core::channel::{Receiver, Sender};
use rapidbyte_host::core::grants::Grants;
use rapidbyte_host::core::ports::InstanceIo;
use rapidbyte_host::core::*;
use rapidbyte_host::operations::conformance::{Candidate, Equipment};
use rapidbyte_host::pipeline::{Fixture, Manifest};
use rapidbyte_host::wasm::faults::FaultPlan;
use rapidbyte_host::wasm::network::cassette::Mark;
use rapidbyte_host::wasm::{Network, WasmConnector, WasmInstance};
use rapidbyte_host::{Host, HostError};
use serde_json::Value;

use crate::clause::{Finding, mismatch, said};
use crate::limits::{IDLE_DURATION_MAX, LIMITS};
use crate::readback::ReadBack;
use crate::recorder::{Recorder, Transcript, lock};

/// What every clause is given.
pub struct Subject<'h> {
    host: &'h Host,
    pub manifest: Manifest,
    pub component: PathBuf,
    pub fixture: Fixture,
    pub equipment: Equipment,
    pub reader: Option<ReadBack>,
    connector: WasmConnector,
    transcript: Arc<Mutex<Transcript>>,
    next_id: AtomicU64,
    next_name: AtomicU64,
    /// What random choices begin from.
    pub seed: u64,
    /// Makes names of this run its own, so that what an earlier one left behind is not in the way.
    nonce: String,
}

/// What is not as it usually is for an instance.
#[derive(Clone, Default)]
pub struct Bent {
    pub faults: Option<Arc<FaultPlan>>,
    /// Instead of the suite's own.
    pub network: Option<Arc<dyn Network>>,
}

impl std::fmt::Debug for Bent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bent").field("faults", &self.faults).finish_non_exhaustive()
    }
}

/// When something was done, for doing it again.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    from: Option<Mark>,
    to: Option<Mark>,
}

/// Where what a fixture names is.
#[derive(Debug, Clone, Copy)]
pub struct Places<'p> {
    /// What its paths are relative to.
    pub folder: &'p Path,
    /// What it calls `${RAPIDBYTE_SCRATCH}`.
    pub scratch: &'p Path,
}

/// An instance and what it says.
pub struct Running {
    pub instance: WasmInstance,
    pub recorder: Arc<Recorder>,
}

impl<'h> Subject<'h> {
    /// Loads a candidate with its fixture's config and grants. Blocks.
    pub fn load(
        host: &'h Host,
        candidate: &Candidate,
        fixture: Fixture,
        places: Places<'_>,
        seed: u64,
        progress: &mut dyn BuildProgress,
    ) -> Result<Self, HostError> {
        let manifest = candidate.manifest.clone();
        let equipment =
            host.equip(&manifest, &fixture.config, &fixture.file, places.folder, places.scratch)?;
        let grants = equipment.grants.clone();
        let connector = host.load_unredacted(&manifest, &candidate.component, grants, IDLE_DURATION_MAX)?;
        let reader = match &fixture.reader {
            Some(spec) => Some(ReadBack::load(host, spec, &fixture, places, progress)?),
            None => None,
        };
        Ok(Subject {
            host,
            manifest,
            component: candidate.component.clone(),
            fixture,
            equipment,
            reader,
            connector,
            transcript: Arc::default(),
            next_id: AtomicU64::new(1),
            next_name: AtomicU64::new(1),
            seed,
            nonce: nonce(host, seed),
        })
    }

    pub fn role(&self) -> ConnectorRole {
        self.manifest.role
    }

    /// The fixture's config as the connector gets it.
    pub fn config(&self) -> String {
        self.equipment.config.to_string()
    }

    /// Starts an instance, not opened yet.
    pub async fn start(
        &self,
        limits: Limits,
        inlet: Option<Receiver>,
        outlet: Option<Arc<Sender>>,
    ) -> Result<Running, ConnectorError> {
        self.start_with(limits, inlet, outlet, Bent::default()).await
    }

    /// The same with calls of the host that go wrong by plan, or another network.
    pub async fn start_with(
        &self,
        limits: Limits,
        inlet: Option<Receiver>,
        outlet: Option<Arc<Sender>>,
        Bent { faults, network }: Bent,
    ) -> Result<Running, ConnectorError> {
        let mut connector = self.connector.clone();
        if let Some(faults) = faults {
            connector = connector.with_faults(faults);
        }
        if let Some(network) = network {
            connector = connector.with_network(network);
        }
        start(&connector, &self.transcript, limits, inlet, outlet).await
    }

    /// Does something that is to be done again, see [`Subject::again`].
    pub async fn marked<T>(&self, work: impl Future<Output = T>) -> (T, Marks) {
        let from = self.host.network_mark();
        let done = work.await;
        (done, Marks { from, to: self.host.network_mark() })
    }

    /// The network for what does once more what was done then, and may be broken off.
    pub fn again(&self, marks: &Marks) -> Result<Option<Arc<dyn Network>>, Finding> {
        let again = self.host.network_again(marks.from.as_ref(), marks.to.as_ref());
        again.map_err(|error| Finding::broken(error.to_string()))
    }

    /// Whether the network is recorded or played: then what was done once cannot be done in another way.
    pub fn uses_cassettes(&self) -> bool {
        self.host.uses_cassettes()
    }

    /// Starts one that has nothing to move.
    pub async fn start_idle(&self) -> Result<Running, ConnectorError> {
        self.start(LIMITS, None, None).await
    }

    /// Starts an idle one, opens it with this config text and answers what it says. The instance is gone afterwards.
    pub async fn try_open(&self, config: &str) -> Result<OpenInfo, ConnectorError> {
        let mut running = self.start_idle().await?;
        let answer = running.instance.open_session(config).await.map(|(_, info)| info);
        self.hear(&answer);
        answer
    }

    /// The same connector with another config and other grants.
    pub async fn start_elsewhere(&self, grants: Grants) -> Result<Running, ConnectorError> {
        let loaded = self.host.load_unredacted(&self.manifest, &self.component, grants, IDLE_DURATION_MAX);
        let connector = loaded.map_err(|error| ConnectorError::internal("suite_load", error.to_string()))?;
        start(&connector, &self.transcript, LIMITS, None, None).await
    }

    /// What the component and its manifest say differently.
    pub fn disagreement(&self) -> Result<Option<String>, HostError> {
        self.host.disagreement(&self.manifest, &self.component)
    }

    /// A config that must be refused by a `config` error that names `key`. `what` is wrong with it, for the message.
    pub async fn must_refuse(&self, config: &Value, key: &str, what: &str) -> Result<(), Finding> {
        let expected = format!("a `config` error that names `{key}`");
        let error = match self.try_open(&config.to_string()).await {
            Ok(_) => return mismatch(format!("`open` with {what}"), expected, "success"),
            Err(error) => error,
        };
        let details = error.details.as_deref().unwrap_or_default();
        let named = error.message.contains(key) || details.contains(key);
        if error.category == ErrorCategory::Config && named {
            return Ok(());
        }
        mismatch(format!("`open` with {what}"), expected, said(&error))
    }

    /// What the connector says of itself with the fixture's config.
    pub async fn info(&self) -> Result<OpenInfo, ConnectorError> {
        self.try_open(&self.config()).await
    }

    /// Takes note of an error's words, for the clause about secrets.
    pub fn hear<T>(&self, answer: &Result<T, ConnectorError>) {
        if let Err(error) = answer {
            let details = error.details.as_deref().unwrap_or_default();
            let text = format!("{} {} {details}", error.code, error.message);
            lock(&self.transcript).hear("an error", text);
        }
    }

    /// Takes note of any text that the connector gave.
    pub fn hear_text(&self, place: &'static str, text: &str) {
        lock(&self.transcript).hear(place, text.to_owned());
    }

    /// The first words in which a secret of the config can be read: where they were said.
    pub fn spoken_secret(&self) -> Option<&'static str> {
        let transcript = lock(&self.transcript);
        let spoken = |text: &str| {
            // Shorter values are words: the redactor does not mask them either.
            self.equipment.secrets.iter().any(|secret| secret.len() >= 4 && text.contains(secret.as_str()))
        };
        transcript.words.iter().find(|(_, text)| spoken(text)).map(|(place, _)| *place)
    }

    /// Whether the connector has entered an import: `tcp-connect`.
    pub fn entered(&self, import: &str) -> bool {
        let point = format!("{}.{import}", self.role());
        lock(&self.transcript).imports.contains(&point)
    }

    /// Ids for checkpoints, monotone over the whole suite.
    pub fn checkpoint_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// A name for a stream or a pipeline that nothing has had before.
    pub fn fresh_name(&self, what: &str) -> String {
        let number = self.next_name.fetch_add(1, Ordering::Relaxed);
        format!("conformance_{what}_{}_{number}", self.nonce)
    }

    /// The config schema as JSON.
    pub fn schema(&self) -> Value {
        match &self.manifest.config_schema {
            Some(schema) => schema.as_json().clone(),
            None => Value::Object(Default::default()),
        }
    }
}

/// Names of streams must be new at a destination that remembers; nothing else of a run depends on the time. A recording
/// and what is played of it must have the same.
fn nonce(host: &Host, seed: u64) -> String {
    if host.uses_cassettes() {
        return format!("recorded_{seed:x}");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("{:x}", (now as u64) ^ u64::from(std::process::id()).rotate_left(40) ^ seed)
}

/// Starts an instance of any connector.
pub async fn start(
    connector: &WasmConnector,
    transcript: &Arc<Mutex<Transcript>>,
    limits: Limits,
    inlet: Option<Receiver>,
    outlet: Option<Arc<Sender>>,
) -> Result<Running, ConnectorError> {
    let recorder = Arc::new(Recorder::new(transcript.clone(), outlet.clone()));
    let io = InstanceIo { inlet, outlet, services: recorder.clone(), limits, memory_bytes_max: u64::MAX };
    let instance = connector.start_instance(io).await?;
    Ok(Running { instance, recorder })
}
