//! Limits of SQL, with where the numbers come from.

/// Bytes of one SQL text: far beyond what people write, far below what a parser minds.
pub const SQL_BYTES_MAX: usize = 256 * 1024;
/// Operators and joining words of one SQL text. Each may nest an expression by one level, and planning and evaluation descend
/// level by level: so many fit on the stack of a worker thread (2 MB) even where nothing is optimised.
pub const SQL_OPERATORS_MAX: usize = 500;
/// Stack of the thread that plans: every level takes some kilobytes, several times over.
pub const PLANNING_STACK_BYTES: usize = 64 * 1024 * 1024;
/// How deep parentheses may nest: what the parser takes by default.
pub const SQL_DEPTH_MAX: usize = 50;
/// Rows of the batches that an aggregation or a query gives.
pub const ROWS_PER_BATCH: usize = 8192;
/// Of a value or a message that comes from data.
pub const MESSAGE_BYTES_MAX: usize = 1024;

/// Rows of a row group of the cache: what a reader decodes a column of at once.
pub const ROW_GROUP_ROWS_MAX: usize = 128 * 1024;
/// Bytes that a row group may have before it is written, however few its rows: what a writer keeps in memory.
pub const ROW_GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Folders have names of at most 255 bytes on every file system that people use.
pub const CACHE_NAME_BYTES_MAX: usize = 255;
/// Of `stream.json`: some two hundred bytes a file, for a hundred thousand files.
pub const CACHE_MANIFEST_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Groups of files that a query reads side by side, and the partitions it computes in.
pub const QUERY_PARTITIONS_MAX: usize = 4;
/// Rows that a table on a terminal shows: its columns are as wide as the widest, so they are all kept.
pub const TABLE_ROWS_MAX: usize = 10_000;
