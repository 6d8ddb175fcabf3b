//! Every limit of the host, in one place, with where the number comes from and the relations between them.

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// `resources.max_memory` of a pipeline that does not say.
pub const MEMORY_BYTES_DEFAULT: u64 = 512 * MIB;
/// Below this two guests and a channel do not fit.
pub const MEMORY_BYTES_MIN: u64 = 64 * MIB;
/// What one task needs at least; fewer tasks run side by side where `max_memory` does not hold more.
pub const TASK_MEMORY_BYTES_MIN: u64 = 64 * MIB;
/// Set aside from `max_memory` for the process itself: code, runtime, state (13 MB resident measured, doubled).
pub const HOST_MEMORY_BYTES: u64 = 24 * MIB;

/// The largest frame ever, whatever a pipeline asks for: Arrow offsets are 32-bit.
pub const BATCH_BYTES_MAX: u64 = 256 * MIB;
/// `resources.max_batch_bytes` of a pipeline that does not say, where memory allows it.
pub const BATCH_BYTES_DEFAULT: u64 = 64 * MIB;
pub const BATCH_BYTES_MIN: u64 = 64 * KIB;
/// Envelope and padding of a frame around a single record.
pub const BATCH_OVERHEAD_BYTES: u64 = 16 * KIB;
/// Frames waiting in one channel: enough to overlap, few enough to stay in cache.
pub const INFLIGHT_BATCHES: u32 = 4;

/// Checkpoints waiting in one channel: far more than a destination that commits leaves unanswered.
pub const CHANNEL_CHECKPOINTS_MAX: usize = 64;
/// Checkpoints handed to a destination and not yet confirmed. Beyond, new ones are merged into later ones.
pub const CHECKPOINTS_UNCONFIRMED_MAX: usize = 4096;
/// The largest checkpoint id: SQLite and PostgreSQL keep 64-bit signed integers. Years of checkpoints a nanosecond.
pub const CHECKPOINT_ID_MAX: u64 = i64::MAX as u64 / 2;
/// How far a reset moves a stream's ids ahead, so that no receipt a destination may have committed behind the state's
/// back is newer than the reset.
pub const RESET_ID_STEP: u64 = 1 << 32;

/// A commit costs the destination an fsync and the source nothing; 64 MB apart it is below one percent.
pub const CHECKPOINT_INTERVAL_BYTES_DEFAULT: u64 = 64 * MIB;
pub const CHECKPOINT_INTERVAL_ROWS_DEFAULT: u64 = 1_000_000;
pub const CHECKPOINT_INTERVAL_SECONDS_DEFAULT: u32 = 60;

/// `resources.parallelism` of a pipeline that does not say, and the most it may say.
pub const PARALLELISM_DEFAULT: u32 = 4;
pub const PARALLELISM_MAX: u32 = 256;

/// A manifest that does not say how long its connector may be silent.
pub const IDLE_TIMEOUT_SECONDS_DEFAULT: u64 = 3600;
/// Epoch tick: how long a guest computes before others get their turn, and the granularity of interruption.
pub const EPOCH_TICK_MS: u64 = 10;
/// After a first Ctrl-C, how long a connector has to reach its next checkpoint before it is interrupted.
pub const CANCEL_GRACE_SECONDS: u64 = 30;

/// Largest read or write of one socket call.
pub const SOCKET_CALL_BYTES_MAX: u64 = MIB;
/// Sockets open at once in one instance.
pub const SOCKETS_MAX: usize = 64;
/// Frames a guest may hold at once.
pub const FRAMES_HELD_MAX: usize = 64;
/// Interests of one `wait`.
pub const INTERESTS_MAX: usize = 1024;
pub const CONNECT_TIMEOUT_MS_MAX: u32 = 120_000;

/// Texts a guest gives: cut, never refused, so that an error is not lost for being long.
pub const LOG_MESSAGE_BYTES_MAX: usize = 8 * KIB as usize;
pub const LOG_FIELDS_MAX: usize = 32;
pub const ERROR_MESSAGE_BYTES_MAX: usize = 8 * KIB as usize;
pub const METRIC_NAME_BYTES_MAX: usize = 256;
/// Log lines of one connector a second; the rest is counted and said.
pub const LOG_LINES_PER_SECOND_MAX: u32 = 200;
/// One state value; a cursor is well below.
pub const STATE_VALUE_BYTES_MAX: usize = MIB as usize;
pub const STATE_KEY_BYTES_MAX: usize = 512;
pub const CURSOR_BYTES_MAX: usize = 64 * KIB as usize;

/// Streams of one catalog and columns of one stream: PostgreSQL ends at 1,600 columns.
pub const CATALOG_STREAMS_MAX: usize = 100_000;
pub const SCHEMA_BYTES_MAX: usize = 4 * MIB as usize;
pub const SCHEMA_FIELDS_MAX: usize = 10_000;
/// Records a frame may claim beyond one for every bit of its body: columns of nulls take no bytes.
pub const FRAME_RECORDS_FREE: u64 = 64 * KIB;

/// Buckets of a timeline: about as many as a chart can show side by side.
pub const TIMELINE_BUCKETS: usize = 128;
/// Width of a timeline's first buckets: two seconds in all, then twice as much whenever it is full.
pub const TIMELINE_BUCKET_NS_FIRST: u64 = 15_625_000;

/// Component file: the largest language runtimes are below 40 MB.
pub const COMPONENT_BYTES_MAX: u64 = 256 * MIB;

const _: () = {
    assert!(BATCH_BYTES_DEFAULT <= BATCH_BYTES_MAX);
    assert!(BATCH_BYTES_MAX < i32::MAX as u64);
    assert!(BATCH_BYTES_MIN > BATCH_OVERHEAD_BYTES);
    assert!(TASK_MEMORY_BYTES_MIN <= MEMORY_BYTES_MIN && MEMORY_BYTES_MIN <= MEMORY_BYTES_DEFAULT);
    assert!(HOST_MEMORY_BYTES < MEMORY_BYTES_MIN);
    assert!((CHANNEL_CHECKPOINTS_MAX + CHECKPOINTS_UNCONFIRMED_MAX) as u64 * 1024 < RESET_ID_STEP);
    assert!(RESET_ID_STEP * 1024 < CHECKPOINT_ID_MAX);
    assert!(TIMELINE_BUCKETS.is_multiple_of(2));
    assert!(CURSOR_BYTES_MAX <= STATE_VALUE_BYTES_MAX);
};
