//! Every limit on documents, in one place, with where the number comes from. Limits on runs are in `rapidbyte-core`.

/// A pipeline document. Ten thousand streams with ten columns each are about 2 MB.
pub const DOCUMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A manifest, with its config schema.
pub const MANIFEST_BYTES_MAX: usize = 1024 * 1024;
/// Nodes (scalars, lists, mappings, keys) of a document after its aliases are expanded.
pub const NODES_MAX: usize = 400_000;
/// Bytes of scalars of a document after its aliases are expanded.
pub const SCALAR_BYTES_MAX: usize = 4 * DOCUMENT_BYTES_MAX;
/// Nesting of a document. The deepest key of the format is at 6; connector configs are free.
pub const DEPTH_MAX: usize = 64;
/// Values of the environment in a document, together. PEM bundles, the largest of them, are below 300 KB.
pub const VARIABLES_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Errors reported of one document; more do not help anybody.
pub const ERRORS_MAX: usize = 50;
/// Longer keys are not compared for suggestions.
pub const SUGGESTION_CHARS_MAX: usize = 64;
/// A pipeline's name: it becomes part of file names and of receipts.
pub const PIPELINE_NAME_BYTES_MAX: usize = 128;
/// A stream's name: PostgreSQL's `schema.table` is at most 127 bytes.
pub const STREAM_NAME_BYTES_MAX: usize = 512;
/// A column's name.
pub const COLUMN_NAME_BYTES_MAX: usize = 1024;
/// A connector's name: it becomes part of file names and of registry references.
pub const CONNECTOR_NAME_BYTES_MAX: usize = 64;
/// Batches that must fit into `max_memory` side by side: one in the source, one in the channel, one in the
/// destination and one on its way between them.
pub const BATCHES_IN_MEMORY_MIN: u64 = 4;
/// Of `max_memory`, the share of one batch in a pipeline that does not say.
pub const BATCH_MEMORY_SHARE: u64 = 8;
/// A line of source text shown in an error is cut to this width.
pub const SNIPPET_COLUMNS_MAX: usize = 140;
/// Seconds between checkpoints at most: a day.
pub const CHECKPOINT_INTERVAL_SECONDS_MAX: u64 = 24 * 3600;

const _: () = {
    assert!(MANIFEST_BYTES_MAX <= DOCUMENT_BYTES_MAX);
    assert!(DOCUMENT_BYTES_MAX < u32::MAX as usize);
    assert!(BATCHES_IN_MEMORY_MIN <= BATCH_MEMORY_SHARE);
    assert!(
        rapidbyte_core::limits::BATCH_BYTES_MIN * BATCH_MEMORY_SHARE
            <= rapidbyte_core::limits::MEMORY_BYTES_MIN
    );
};
