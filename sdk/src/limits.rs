//! Every limit of the SDK, with where the number comes from.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// One socket read: 48,000 tiny reads were most of a prototype's calls into the host; 256 KB copies at memory speed.
pub const SOCKET_READ_BYTES: usize = 256 * KIB;
/// Writes at least this large go to the host directly, without the detour through the write buffer.
pub const SOCKET_WRITE_DIRECT_BYTES: usize = 16 * KIB;
/// A write buffer this full is sent without waiting for a flush.
pub const SOCKET_WRITE_BUFFER_BYTES: usize = 64 * KIB;
/// Largest piece given to the host in one call; the host takes up to 1 MB.
pub const SOCKET_WRITE_BYTES_MAX: usize = 512 * KIB;

/// What a source aims at per batch: large enough to amortise a call, small enough to stay in cache.
pub const BATCH_BYTES_TARGET: u64 = 2 * MIB as u64;

/// How long a busy guest may go without looking at its sockets.
pub const MAINTENANCE_PERIOD: Duration = Duration::from_millis(5);
/// How seldom an idle guest whose tasks wait for the host wakes up for nothing.
pub const MAINTENANCE_PERIOD_MAX: Duration = Duration::from_secs(1);
/// The timer that keeps tokio from parking without a deadline; below the range of tokio's timer wheel.
pub const FAR_AWAY: Duration = Duration::from_secs(365 * 24 * 3600);

/// Interests that go into one `wait`; the host refuses more than 1,024.
pub const INTERESTS_MAX: usize = 1024;
/// Sessions open at once in one instance.
pub const SESSIONS_MAX: usize = 1024;

/// Silence of an HTTP server that is taken for its death; what proxies commonly allow is a minute, of which half is given
/// to one try.
#[cfg(feature = "http")]
pub const HTTP_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer of an HTTP server: several pages of any common API, and a fraction of a guest's 256 MB.
#[cfg(feature = "http")]
pub const HTTP_BODY_BYTES_MAX: usize = 16 * MIB;
/// How much of a refusal's text goes into a message: what fits two lines of a terminal.
#[cfg(feature = "http")]
pub const HTTP_EXCERPT_CHARS_MAX: usize = 200;

/// Frames waiting in a test pipe between two connectors, as between two real ones.
#[cfg(not(target_family = "wasm"))]
pub const PIPE_FRAMES: u32 = 4;
/// Bytes waiting in a test pipe.
#[cfg(not(target_family = "wasm"))]
pub const PIPE_BYTES: u64 = 64 * MIB as u64;
/// A PEM bundle of roots is a few hundred kilobytes.
#[cfg(not(target_family = "wasm"))]
pub const ROOTS_PEM_BYTES_MAX: usize = 4 * MIB;

const _: () = {
    assert!(SOCKET_WRITE_DIRECT_BYTES <= SOCKET_WRITE_BUFFER_BYTES);
    assert!(SOCKET_WRITE_BUFFER_BYTES <= SOCKET_WRITE_BYTES_MAX);
    assert!(SOCKET_WRITE_BYTES_MAX <= MIB && SOCKET_READ_BYTES <= MIB);
};
