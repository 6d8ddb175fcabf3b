//! Every bound of `dest-postgres`, with where the number comes from.

pub use rapidbyte_postgres::limits::IDENTIFIER_BYTES_MAX;

/// Bytes of rows in one `CopyData` message: large enough for per-message costs to vanish, small enough that encoding
/// and sending overlap and that three of them fit in the second-level cache.
pub const MESSAGE_BYTES: usize = 256 * 1024;
/// Message buffers kept for reuse: one being filled, two on their way to the connection.
pub const MESSAGE_BUFFERS_MAX: usize = 3;
/// Buffers that a large record made larger than this are given back to the allocator.
pub const MESSAGE_BUFFER_KEPT_BYTES_MAX: usize = 4 * MESSAGE_BYTES;

/// How long a session that a killed process left behind may hold its lock: the server notices a closed socket as soon
/// as it reads or writes, so only a commit under way takes time.
pub const LOCK_WAIT_SECONDS_DEFAULT: u32 = 60;
pub const LOCK_WAIT_SECONDS_MAX: u32 = 3_600;

/// After how long without a word the server asks whether this side is still there, how often, and how many times
/// before it gives the session up: two minutes in all, against two hours by default.
pub const KEEPALIVE_IDLE_SECONDS: u32 = 60;
pub const KEEPALIVE_INTERVAL_SECONDS: u32 = 10;
pub const KEEPALIVE_COUNT: u32 = 6;

/// Columns of a PostgreSQL table (`MaxHeapAttributeNumber`), less the one that numbers the rows in a load table.
pub const COLUMNS_MAX: usize = 1_599;

/// How long a failed run waits for the server to take its goodbye, so that a retry finds the lock free.
pub const GOODBYE_SECONDS: u64 = 5;

/// Characters of the reason that goes with a refused record: the server may quote a value of any size in it.
pub const REASON_CHARS_MAX: usize = 1_000;

const _: () = {
    assert!(LOCK_WAIT_SECONDS_DEFAULT <= LOCK_WAIT_SECONDS_MAX);
    assert!(MESSAGE_BUFFER_KEPT_BYTES_MAX >= MESSAGE_BYTES);
};
