//! Every bound of the PostgreSQL connectors, in one place, with where the number comes from.

/// `connect_timeout` of a pipeline that does not say, and the most it may say (the host's own cap).
pub const CONNECT_TIMEOUT_SECONDS_DEFAULT: u32 = 30;
pub const CONNECT_TIMEOUT_SECONDS_MAX: u32 = 120;

/// One read from the socket: the size beyond which a larger one no longer saves host calls.
pub const READ_BUFFER_BYTES: usize = 256 * 1024;

/// A frame's target size: large enough to vanish per-frame costs, small enough to stay in cache.
pub const BATCH_BYTES_TARGET: u64 = 2 * 1024 * 1024;

/// Above this estimate, `full_refresh_order: auto` reads in key order so that a broken read can continue: below it,
/// reading again costs less than sorting.
pub const ORDERED_REFRESH_BYTES_MIN: u64 = 1024 * 1024 * 1024;

/// What a `COPY` row carries beside its values: field count and one length per column.
pub const ROW_OVERHEAD_BYTES_MAX: u64 = 2 + 4 * 1664;

/// PostgreSQL's own bound on `numeric`: digits before and after the point.
pub const NUMERIC_DIGITS_MAX: usize = 131_072 + 16_383;

/// Precision of Arrow's `Decimal128`.
pub const DECIMAL128_PRECISION_MAX: u8 = 38;

/// Longest identifier PostgreSQL keeps (`NAMEDATALEN - 1`); longer ones are cut by the server without an error.
pub const IDENTIFIER_BYTES_MAX: usize = 63;
