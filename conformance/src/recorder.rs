//! The engine's part towards one instance: takes note of everything the connector says and does, keeps its state in memory,
//! and puts checkpoints behind the frames they cover.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use rapidbyte_host::core::channel::{Event, Sender};
use rapidbyte_host::core::ports::Services;
use rapidbyte_host::core::*;
use tokio::sync::watch;

use crate::limits::TRANSCRIPT_LINES_MAX;

/// What was heard from the connector over all clauses.
#[derive(Default)]
pub struct Transcript {
    /// Logs, metrics, errors, dead letters' reasons: where it was said, and what.
    pub words: Vec<(&'static str, String)>,
    /// Imports it entered: `source.tcp-connect`.
    pub imports: BTreeSet<String>,
}

impl Transcript {
    pub fn hear(&mut self, place: &'static str, text: String) {
        if self.words.len() < TRANSCRIPT_LINES_MAX {
            self.words.push((place, text));
        }
    }
}

/// Takes a lock that a panic elsewhere cannot spoil.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What a receipt is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Answer {
    /// As the engine does for a source that can go on: a stream that was read to its end starts over, another goes on.
    #[default]
    AsEngine,
    /// As it does for a source that cannot.
    Restart,
}

/// The services of one instance.
pub struct Recorder {
    transcript: Arc<Mutex<Transcript>>,
    outlet: Option<Arc<Sender>>,
    state: Mutex<HashMap<(StateScope, String), Vec<u8>>>,
    /// Destination and transform checkpoints, in order.
    pub confirmed: Mutex<Vec<CheckpointEvent>>,
    pub receipts: Mutex<Vec<CheckpointEvent>>,
    pub letters: Mutex<Vec<(Frame, Vec<RecordError>)>>,
    cancelled: watch::Sender<bool>,
    answer: Mutex<Answer>,
}

impl Recorder {
    pub fn new(transcript: Arc<Mutex<Transcript>>, outlet: Option<Arc<Sender>>) -> Self {
        Recorder {
            transcript,
            outlet,
            state: Mutex::default(),
            confirmed: Mutex::default(),
            receipts: Mutex::default(),
            letters: Mutex::default(),
            cancelled: watch::Sender::new(false),
            answer: Mutex::default(),
        }
    }

    /// Asks the run to end.
    pub fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    /// Decides what receipts are answered with.
    pub fn answer(&self, answer: Answer) {
        *lock(&self.answer) = answer;
    }

    /// Ids of the checkpoints that were reported, in order.
    pub fn confirmed_ids(&self) -> Vec<u64> {
        lock(&self.confirmed).iter().map(|event| event.id).collect()
    }
}

#[async_trait]
impl Services for Recorder {
    async fn checkpoint(&self, event: CheckpointEvent) -> Result<CheckpointReply, ConnectorError> {
        match event.kind {
            CheckpointKind::Receipt => {
                let restart = event.complete || *lock(&self.answer) == Answer::Restart;
                let reply = if restart { CheckpointReply::Restart } else { CheckpointReply::Resume };
                lock(&self.receipts).push(event);
                return Ok(reply);
            }
            CheckpointKind::Destination => lock(&self.confirmed).push(event),
            CheckpointKind::Source | CheckpointKind::Transform => {
                if event.kind == CheckpointKind::Transform {
                    lock(&self.confirmed).push(event.clone());
                }
                let gone = || ConnectorError::internal("channel_closed", "nobody takes the stream any more");
                let outlet = self.outlet.as_ref().ok_or_else(gone)?;
                outlet.send(Event::Checkpoint(event)).await.map_err(|_| gone())?;
            }
        }
        Ok(CheckpointReply::Accepted)
    }

    fn committed(&self) -> Option<CheckpointEvent> {
        None
    }

    fn cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    async fn wait_cancelled(&self) {
        let _ = self.cancelled.subscribe().wait_for(|cancelled| *cancelled).await;
    }

    fn metric(&self, event: MetricEvent) {
        lock(&self.transcript).hear("a metric", format!("{event:?}"));
    }

    fn log(&self, event: LogEvent) {
        lock(&self.transcript).hear("a log line", format!("{} {:?}", event.message, event.fields));
    }

    fn progress(&self, _records: u64, _bytes: u64) {}

    async fn dead_letters(&self, records: Frame, errors: Vec<RecordError>) -> Result<(), ConnectorError> {
        for error in &errors {
            lock(&self.transcript)
                .hear("a dead letter's reason", format!("{} {}", error.code, error.message));
        }
        lock(&self.letters).push((records, errors));
        Ok(())
    }

    async fn state_get(&self, scope: StateScope, key: &str) -> Result<Option<Vec<u8>>, ConnectorError> {
        Ok(lock(&self.state).get(&(scope, key.to_owned())).cloned())
    }

    async fn state_put(&self, scope: StateScope, key: &str, value: Vec<u8>) -> Result<(), ConnectorError> {
        lock(&self.state).insert((scope, key.to_owned()), value);
        Ok(())
    }

    async fn state_compare_and_swap(
        &self,
        scope: StateScope,
        key: &str,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<bool, ConnectorError> {
        let mut state = lock(&self.state);
        let key = (scope, key.to_owned());
        let fits = state.get(&key) == expected.as_ref();
        if fits {
            state.insert(key, value);
        }
        Ok(fits)
    }

    fn reached(&self, point: &str) {
        let mut transcript = lock(&self.transcript);
        if !transcript.imports.contains(point) {
            transcript.imports.insert(point.to_owned());
        }
    }
}
