//! A local copy of what goes to the destination, for whoever asks for it: the port that the engine fills. What a copy holds is
//! tied to checkpoints like everything else, so that a resumed run has each record in it as often as the destination.
//!
//! Refuses to know: where a copy lies, and how it is asked.

use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::contract::WritePlan;
use crate::error::ConnectorError;

/// Keeps copies of streams.
pub trait CopyKeeper: Send + Sync {
    /// `resuming`: the reading goes on that an earlier run began.
    fn open(
        &self,
        pipeline: &str,
        stream: &str,
        write: &WritePlan,
        resuming: bool,
    ) -> Result<Arc<dyn StreamCopy>, ConnectorError>;
}

/// The copy of one stream, while a run fills it.
pub trait StreamCopy: Send + Sync {
    /// Fills one partition. What the copy has of it behind checkpoint `committed` will come again and is dropped.
    fn writer(&self, partition: u32, committed: Option<u64>) -> Result<Box<dyn CopyWriter>, ConnectorError>;

    /// The reading has come to its end.
    fn complete(&self) -> Result<(), ConnectorError>;
}

/// Takes the records of one partition, in order.
pub trait CopyWriter: Send {
    fn append(&mut self, batch: &RecordBatch) -> Result<(), ConnectorError>;

    /// What was appended belongs to this checkpoint. Durable when it returns.
    fn commit(&mut self, checkpoint: u64) -> Result<(), ConnectorError>;
}
