//! Every bound of this connector, in one place, with where the number comes from.

/// The oldest server whose catalogs the queries fit: deterministic collations and partition trees came with it.
pub const SERVER_VERSION_NUM_MIN: u32 = 120_000;

/// Rows of one batch, where rows take next to no bytes: a table without columns has none at all.
pub const BATCH_ROWS_MAX: usize = 1 << 20;

/// What a frame needs beside its columns' buffers, per column and in all: IPC metadata, validity, padding.
pub const FRAME_COLUMN_BYTES: u64 = 256;
pub const FRAME_ENVELOPE_BYTES: u64 = 4 * 1024;

/// Names listed in a message before it says how many more there are.
pub const NAMES_LISTED_MAX: usize = 20;
