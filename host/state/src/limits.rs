//! The limits of the state, with where the numbers come from.

use std::time::Duration;

/// How long a writer waits for another process that is writing. Every transaction here is a few rows and one fsync; even
/// a slow disk under load does that within a second.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(15);
/// Between attempts where SQLite does not wait by itself.
pub const BUSY_RETRY_DELAY: Duration = Duration::from_millis(10);
/// The write-ahead log is cut back to this after a checkpoint, in bytes.
pub const JOURNAL_BYTES_MAX: i64 = 4 * 1024 * 1024;
/// Checkpoints kept of one task. Only the newest counts; the others are history for people.
pub const CHECKPOINTS_KEPT: u32 = 32;
/// Closed runs kept of one stream.
pub const RUNS_KEPT: u32 = 1000;
/// An error as the history keeps it, in bytes; the whole of it was in the run's output.
pub const ERROR_BYTES_MAX: usize = 4 * 1024;
/// How often a name for a holder file is tried. One collision needs another process to clean up in the same instant.
pub const HOLDER_ATTEMPTS_MAX: u32 = 16;

/// A connection to a PostgreSQL server: name, TCP, TLS and authentication. A server across an ocean needs two seconds.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between attempts to connect again, doubled up to the second.
pub const RECONNECT_DELAY_MIN: Duration = Duration::from_millis(100);
pub const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(2);
/// How long a server may be away before an operation gives up: a restart with recovery, a failover.
pub const RECONNECT_TIME_MAX: Duration = Duration::from_secs(60);
/// How often one operation is tried when connections break under it.
pub const OPERATION_ATTEMPTS_MAX: u32 = 8;
/// One attempt of one operation, which is a few rows and a commit. The server's own limits below come first.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(40);
/// The server gives up on a statement, a lock, and a client that stands still in the middle of a transaction: a frozen
/// process must not hold up the others for as long as its lease.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(20);
pub const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);
/// Either end notices that the other's machine is gone after idle + retries × interval: 25 s, within the lease.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
pub const KEEPALIVE_RETRIES: u32 = 3;
pub const UNANSWERED_TIME_MAX: Duration = Duration::from_secs(25);
/// A process that holds claims says so this often, and is taken for dead when it has not for the length of the lease, by
/// the server's clock. Six chances; and a process frozen for longer is fenced.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
pub const LEASE: Duration = Duration::from_secs(30);
/// After a restart of the server, how long claims from before wait for their holders to connect again.
pub const RESTART_GRACE: Duration = Duration::from_secs(10);
/// How long a claim is asked for again before it counts as held: the server notices in milliseconds that a killed
/// process's connection is gone, and a supervisor may be as quick to start it again.
pub const CLAIM_PATIENCE: Duration = Duration::from_millis(500);
pub const CLAIM_RETRY_DELAY: Duration = Duration::from_millis(25);
/// How long a store that is let go of waits for the server to hear that its claims are free. Past it, closing the connection
/// says so, a little later.
pub const RELEASE_TIME_MAX: Duration = Duration::from_secs(2);
/// What is remembered of a store that is not seen any more, in seconds: far longer than any operation of it can last.
pub const STORE_KEPT_SECONDS: f64 = 7.0 * 24.0 * 3600.0;

const _: () = {
    assert!(HEARTBEAT_INTERVAL.as_secs() * 3 < LEASE.as_secs());
    assert!(IDLE_IN_TRANSACTION_TIMEOUT.as_secs() < LOCK_TIMEOUT.as_secs());
    assert!(LOCK_TIMEOUT.as_secs() < STATEMENT_TIMEOUT.as_secs());
    assert!(STATEMENT_TIMEOUT.as_secs() < OPERATION_TIMEOUT.as_secs());
    assert!(
        KEEPALIVE_IDLE.as_secs() + KEEPALIVE_INTERVAL.as_secs() * (KEEPALIVE_RETRIES as u64)
            < LEASE.as_secs()
    );
};

/// Records on their way between two states or a state and a document. Most are small; a batch of dead letters is as large
/// as a frame.
pub const TRANSFER_RECORDS_WAITING_MAX: usize = 8;
/// One line of an exported state: the largest frame in base64, with room for its errors.
pub const EXPORT_LINE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
