//! Every bound of this connector, in one place, with where the number comes from.

/// The oldest server whose catalogs the queries fit: deterministic collations and partition trees came with it.
pub const SERVER_VERSION_NUM_MIN: u32 = 120_000;

/// Rows of one batch, where rows take next to no bytes: a table without columns has none at all.
pub const BATCH_ROWS_MAX: usize = 1 << 20;

/// What a frame needs beside its columns' buffers, per column and in all: IPC metadata, validity, padding.
pub const FRAME_COLUMN_BYTES: u64 = 256;
pub const FRAME_ENVELOPE_BYTES: u64 = 4 * 1024;

/// `partition_bytes_min` of a pipeline that does not say. At the hundred-odd megabytes per second of one reader it is a few
/// tenths of a second of work: what a reader of its own costs in connecting, planning and instances.
pub const PARTITION_BYTES_MIN_DEFAULT: u64 = 32 * 1024 * 1024;

/// Ranges of one stream, whatever is asked for: a boundary has to come from enough sampled records to mean something.
pub const PARTITIONS_MAX: u32 = 1024;

/// Blocks sampled to find boundaries: 16 MB at the usual block size, a second of random reads on a slow disk. With records
/// clustered by block, sixteen ranges come out within a tenth of each other's size.
pub const SAMPLE_BLOCKS_MAX: u64 = 2048;

/// The oldest server whose `LOCK TABLE` asks for no rights on a table's children.
pub const LOCK_CHILDREN_VERSION_NUM_MIN: u32 = 130_000;

/// The oldest server that reads a range of places without reading the whole table.
pub const TID_RANGE_VERSION_NUM_MIN: u32 = 140_000;

/// Names listed in a message before it says how many more there are.
pub const NAMES_LISTED_MAX: usize = 20;
