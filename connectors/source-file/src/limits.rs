//! Every limit of the connector, with where the number comes from.

/// Read from a text file at once: large enough that calls do not matter, small beside a guest's memory.
pub const READ_BYTES: usize = 256 * 1024;
/// Records looked at to infer types, over the files of a stream, unless `infer_rows` says otherwise.
pub const INFER_ROWS_DEFAULT: u64 = 100_000;
/// Rows that a Parquet reader decodes at once, whatever their size.
pub const PARQUET_ROWS_MAX: usize = 8_192;
/// Columns of one record: PostgreSQL ends at 1,600, the host at 10,000.
pub const COLUMNS_MAX: usize = 10_000;
/// Largest record while types are inferred, when the run's own limit is not known yet: with room to grow well within the
/// guest's memory, so that a quote that is never closed is an error and not the end of the guest.
pub const INFER_RECORD_BYTES_MAX: u64 = 64 << 20;
/// How deep sub-folders of a stream are looked into.
pub const FOLDER_DEPTH_MAX: usize = 16;
/// A refused record is shown to a dead letter's reader up to here.
pub const REFUSED_RECORD_BYTES_MAX: usize = 64 * 1024;
