//! Every limit on documents, in one place, with where the number comes from. Limits on runs are in `rapidbyte-core`.

/// A pipeline document. Ten thousand streams with ten columns each are about 2 MB.
pub const DOCUMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A manifest, with its config schema.
pub const MANIFEST_BYTES_MAX: usize = 1024 * 1024;
/// The settings of a workspace: a handful of tables.
pub const SETTINGS_BYTES_MAX: usize = 256 * 1024;
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
/// Attempts at a task, the first one included: a connection that is cut comes back at once or not soon.
pub const RETRY_ATTEMPTS_DEFAULT: u32 = 3;
pub const RETRY_ATTEMPTS_MAX: u32 = 1000;
pub const RETRY_INITIAL_DELAY_MS_DEFAULT: u64 = 1_000;
pub const RETRY_MAX_DELAY_MS_DEFAULT: u64 = 30_000;
/// Longest wait between attempts: beyond an hour, a scheduler does it better.
pub const RETRY_DELAY_MS_MAX: u64 = 3_600_000;
/// A circuit breaker that does not say how long it stays open.
pub const BREAKER_COOLDOWN_MS_DEFAULT: u64 = 60_000;
/// The longest a circuit breaker stays open: a week.
pub const BREAKER_COOLDOWN_MS_MAX: u64 = 7 * 24 * 3_600_000;
/// A hook that does not say: longer than any notification, shorter than a scheduler's patience.
pub const HOOK_TIMEOUT_MS_DEFAULT: u64 = 600_000;
/// The longest a hook may take: a day.
pub const HOOK_TIMEOUT_MS_MAX: u64 = 24 * 3_600_000;
/// Expressions, commands and queries in a document.
pub const EXPRESSION_BYTES_MAX: usize = 64 * 1024;
/// Ranges that one stream is divided into at most: as many as may run side by side.
pub const PARTITIONS_MAX: u32 = rapidbyte_core::limits::PARALLELISM_MAX;

const _: () = {
    assert!(RETRY_INITIAL_DELAY_MS_DEFAULT <= RETRY_MAX_DELAY_MS_DEFAULT);
    assert!(RETRY_MAX_DELAY_MS_DEFAULT <= RETRY_DELAY_MS_MAX);
    assert!(RETRY_ATTEMPTS_DEFAULT <= RETRY_ATTEMPTS_MAX);
    assert!(BREAKER_COOLDOWN_MS_DEFAULT <= BREAKER_COOLDOWN_MS_MAX);
    assert!(HOOK_TIMEOUT_MS_DEFAULT <= HOOK_TIMEOUT_MS_MAX);
    assert!(MANIFEST_BYTES_MAX <= DOCUMENT_BYTES_MAX);
    assert!(DOCUMENT_BYTES_MAX < u32::MAX as usize);
    assert!(BATCHES_IN_MEMORY_MIN <= BATCH_MEMORY_SHARE);
    assert!(
        rapidbyte_core::limits::BATCH_BYTES_MIN * BATCH_MEMORY_SHARE
            <= rapidbyte_core::limits::MEMORY_BYTES_MIN
    );
};
