//! Every limit of the connector, with where the number comes from.

/// A row group is written once its columns take this much memory: well within a guest's, large enough to be read fast.
pub const ROW_GROUP_MEMORY_BYTES: usize = 32 << 20;
/// Text is handed to the file system in pieces of this size.
pub const TEXT_BUFFER_BYTES: usize = 256 * 1024;
/// Longest name of a file that a stream's or pipeline's name is turned into; file systems end at 255 and something is
/// appended.
pub const NAME_BYTES_MAX: usize = 150;
/// A receipt is a few hundred bytes; a cursor may have 64 KB.
pub const RECEIPT_BYTES_MAX: u64 = 1 << 20;
/// Files of one name that a free one is looked for behind.
pub const SAME_NAME_MAX: u32 = 10_000;
/// A claim has a name of a few bytes and a stream's columns; a schema of thousands of columns still fits.
pub const CLAIM_BYTES_MAX: u64 = 4 << 20;
