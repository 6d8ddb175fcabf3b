//! Limits that only the sandbox knows, with where the numbers come from. Those of the contract are in
//! `rapidbyte_core::limits`.

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Core instances of one component: the largest (Python, JavaScript) have some dozens.
pub const CORE_INSTANCES_MAX: usize = 256;
/// Tables and linear memories of one component: adapters bring one of each at most.
pub const TABLES_MAX: usize = 64;
pub const MEMORIES_MAX: usize = 64;
/// Elements of all tables together: a table of functions has one for each function taken by address.
pub const TABLE_ELEMENTS_MAX: usize = 1_000_000;
/// Handles open at once in one instance, of every kind: sockets, frames, files, pollables.
pub const HANDLES_MAX: usize = 16 * KIB;
/// What one call may bring from the guest into the host's memory besides a frame: the largest catalog fits.
pub const CALL_BYTES_MIN: usize = 64 * MIB;
/// Frames of full size that a guest may hold at once; many more small ones fit into the same bytes.
pub const FRAMES_HELD_FULL: u64 = 4;
/// One call for random bytes.
pub const RANDOM_BYTES_MAX: u64 = MIB as u64;

/// A line on standard output or error is cut here.
pub const STDIO_LINE_BYTES_MAX: usize = 4 * KIB;
/// What a guest may write to standard output or error in one call.
pub const STDIO_WRITE_BYTES_MAX: usize = 64 * KIB;
/// Frames of a trap's backtrace that an error shows.
pub const BACKTRACE_FRAMES_MAX: usize = 8;

/// A text is cut here before it is searched for secrets, so that a guest cannot make that expensive.
pub const TEXT_BYTES_SEARCHED_MAX: usize = MIB;
/// Error codes, connector ids, metric labels.
pub const NAME_BYTES_MAX: usize = 256;
/// Structured details of an error.
pub const DETAILS_BYTES_MAX: usize = 16 * KIB;
pub const METRIC_LABELS_MAX: usize = 16;
/// Distinct (name, labels) of one instance: a label taken from data must not fill the host.
pub const METRIC_SERIES_MAX: usize = 1_000;
/// Warnings of one validation.
pub const WARNINGS_MAX: usize = 100;
/// Record errors of one call for dead letters beyond the frame's own number of records: none.
pub const RECORD_ERROR_BYTES_MAX: usize = 2 * KIB;

/// Certificates in one `roots-pem`.
pub const ROOTS_MAX: usize = 1_000;
/// ALPN protocols offered.
pub const ALPN_MAX: usize = 16;
/// Addresses of one name that are tried.
pub const ADDRESSES_MAX: usize = 16;
/// How long a peer may take to let go of a closed connection.
pub const CLOSE_TIMEOUT_MS: u64 = 2_000;
/// How long a TLS handshake may take.
pub const TLS_TIMEOUT_MS: u64 = 30_000;
/// Plain text that waits to be encrypted and sent.
pub const TLS_PENDING_BYTES_MAX: usize = MIB;
/// The longest single wait; a guest that asks for more is woken and may ask again.
pub const WAIT_SECONDS_MAX: u64 = 24 * 3600;

/// What one HTTP answer or request of a guest may carry in its body. It streams, so this bounds time and traffic, not memory.
pub const HTTP_BODY_BYTES_MAX: u64 = 1024 * MIB as u64;
/// How long an HTTP server may take to begin its answer, or may be silent in the middle of it, where the guest names no
/// time; slow reports of real APIs take minutes.
pub const HTTP_SILENCE_SECONDS: u64 = 300;
/// How long an HTTP connection may take where the guest names no time.
pub const HTTP_CONNECT_TIMEOUT_MS: u32 = 30_000;
/// Requests that one instance may have under way. Each holds a connection.
pub const HTTP_REQUESTS_MAX: usize = rapidbyte_core::limits::SOCKETS_MAX;

/// The longest delay of a fault plan: what never waits holds a thread for it.
pub const FAULT_DELAY_MS_MAX: u64 = 60_000;
/// What a cassette keeps of one connection, both ways together; it is held in memory until the connection ends.
pub const CASSETTE_BYTES_MAX: usize = 256 * MIB;
/// How long a replayed connection waits for a guest to send what it sent in the recording.
pub const REPLAY_STALL_MS: u64 = 10_000;

/// Compiled components kept in the cache folder; the oldest go first.
pub const CACHE_ENTRIES_MAX: usize = 128;

const _: () = {
    assert!(CALL_BYTES_MIN >= rapidbyte_core::limits::STATE_VALUE_BYTES_MAX);
    assert!(CALL_BYTES_MIN as u64 >= rapidbyte_core::limits::SOCKET_CALL_BYTES_MAX);
    assert!(HANDLES_MAX > rapidbyte_core::limits::SOCKETS_MAX + rapidbyte_core::limits::FRAMES_HELD_MAX);
    assert!(TEXT_BYTES_SEARCHED_MAX > rapidbyte_core::limits::ERROR_MESSAGE_BYTES_MAX);
};
