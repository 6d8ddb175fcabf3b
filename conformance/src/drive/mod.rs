//! One run of a connector: what goes in, what comes out, in order. Reads for sources, writes for destinations, passes for
//! transforms; the channel's two sides are the suite's.

mod pass;
mod read;
mod write;

use std::sync::Arc;

use rapidbyte_host::core::channel::{Bounds, Event, Receiver};
use rapidbyte_host::core::*;

pub use read::{ReadPlan, discover_with, read_elsewhere};
pub use write::{Feed, WritePlan};

use crate::clause::Finding;
use crate::subject::{Running, Subject};

/// Room for all that a fixture's stream holds: the suite takes as fast as it is given.
const WIDE: Bounds = Bounds { bytes_max: u64::MAX, frames_max: u32::MAX };

/// Runs an opened session while everything it emits is taken.
async fn run_and_take(
    running: &mut Running,
    session: u64,
    request: RunRequest,
    mut outlet: Receiver,
    sender: Arc<rapidbyte_host::core::channel::Sender>,
) -> (Result<RunSummary, ConnectorError>, Vec<Event>) {
    let running = async {
        let result = running.instance.run_session(session, request).await;
        // The taking side is the suite's own and stays to the end.
        let _ = sender.finish();
        result
    };
    let taking = async {
        let mut events = Vec::new();
        while let Ok(event) = outlet.recv().await {
            if matches!(event, Event::End) {
                break;
            }
            events.push(event);
        }
        events
    };
    futures::future::join(running, taking).await
}

/// A run that was asked to end did so itself, with success or an error of its own.
fn ended_in_words(result: Result<RunSummary, ConnectorError>) -> Result<(), Finding> {
    match result {
        Err(error) if error.code == "guest_trapped" => Err(error.into()),
        _ => Ok(()),
    }
}

impl Subject<'_> {
    /// The least that a connector of any role can be asked to do: discover, write one row, pass one row.
    pub async fn exercise(&self) -> Result<(), Finding> {
        match self.role() {
            ConnectorRole::Source => {
                for stream in self.discover().await?.streams.iter().take(1) {
                    self.read(&ReadPlan::full(stream)).await?.result?;
                }
            }
            ConnectorRole::Destination => {
                let schema = crate::sample::schema();
                let plan = WritePlan::new(self, "exercise", schema, self.any_mode());
                self.write_all(&plan, &[Feed::Batch(crate::sample::batch(&[1], 0)?), Feed::Complete]).await?;
            }
            ConnectorRole::Transform => {
                let schema = crate::sample::schema();
                let feed = [Feed::Batch(crate::sample::batch(&[1], 0)?), Feed::Complete];
                self.transform(&schema, &feed).await?.0.result?;
            }
        }
        Ok(())
    }

    /// The request of [`Subject::exercise`] for whoever drives the instance itself; empty of data.
    pub fn plain_request(&self) -> Result<RunRequest, Finding> {
        Ok(match self.role() {
            ConnectorRole::Source => {
                RunRequest { stream: None, phase: RunPhase::Discover, dry_run: false, max_records: None }
            }
            ConnectorRole::Transform => {
                pass::transform_request(&crate::sample::schema(), RunPhase::Discover)?
            }
            ConnectorRole::Destination => {
                let plan = WritePlan::new(self, "dry", crate::sample::schema(), self.any_mode());
                write::write_request(&WritePlan { dry_run: true, ..plan })?
            }
        })
    }
}
