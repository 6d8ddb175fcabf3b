//! Every limit of the suite, in one place, with where the number comes from.

use std::time::Duration;

use rapidbyte_host::core::Limits;
use rapidbyte_host::core::limits::BATCH_BYTES_MIN;

/// A clause that takes longer has found a hang. Most take seconds; the faults of a destination take minutes on a slow machine,
/// because each is followed by reading back.
pub const CLAUSE_DURATION_MAX: Duration = Duration::from_secs(600);
/// How long a connector may go on after it was asked to end. It is asked where nothing is left to do but to notice.
pub const CANCEL_DURATION_MAX: Duration = Duration::from_secs(10);
/// How long a connector may stand still, neither moving a byte nor touching the host. What moves a few rows never does.
pub const IDLE_DURATION_MAX: Duration = Duration::from_secs(15);
/// Runs with random faults. Each takes some milliseconds; more find what fewer do not.
pub const FAULT_COMBINATIONS: u64 = 24;
/// Faults of one such run: more and the first of them decides everything.
pub const FAULTS_TOGETHER: usize = 3;
/// How long a run with faults may take: what a delay, a retry and a time-out of the connector's own take together.
pub const FAULT_RUN_DURATION_MAX: Duration = Duration::from_secs(60);
/// Checkpoints that a stream is asked to make, so that resuming from each stays affordable.
pub const CHECKPOINTS_AIM: u64 = 12;
/// Words of the connector that are kept to be searched for secrets.
pub const TRANSCRIPT_LINES_MAX: usize = 100_000;
/// Rows of a difference that a message shows.
pub const ROWS_SHOWN_MAX: usize = 3;
/// Streams that the source clauses read when the fixture names none.
pub const STREAMS_READ_MAX: usize = 8;

/// What a run is given where the clause is about something else.
pub const LIMITS: Limits = Limits {
    max_batch_bytes: 4 << 20,
    max_record_bytes: 1 << 20,
    max_inflight_batches: 4,
    checkpoint_interval_bytes: 64 << 20,
    checkpoint_interval_rows: 1_000_000,
    checkpoint_interval_seconds: 3600,
};

/// The smallest batches that a pipeline may ask for.
pub const TIGHT: Limits =
    Limits { max_batch_bytes: BATCH_BYTES_MIN, max_record_bytes: BATCH_BYTES_MIN / 2, ..LIMITS };
