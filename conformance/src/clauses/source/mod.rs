//! Promises of sources.

pub mod checkpoints_monotone;
pub mod discovery_stable;
pub mod discovery_unique;
pub mod discovery_valid;
pub mod read_batch_bytes;
pub mod read_dry_run;
pub mod read_filter;
pub mod read_max_records;
pub mod read_partitions;
pub mod read_projection;
pub mod read_schema;
pub mod read_snapshot;
pub mod read_summary;
pub mod read_unknown_stream;
pub mod resume_every_checkpoint;
pub mod resume_future_cursor;
