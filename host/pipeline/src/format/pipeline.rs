//! The tables of the pipeline document.

use rapidbyte_core::limits as host;

use super::{Key, Shape, Table, Together};
use crate::limits::{PARTITIONS_MAX, RETRY_ATTEMPTS_MAX};

const OF_STREAM: &str = "to a stream: `streams: [{ name: orders, ... }]`";
const OF_WRITE: &str = "to `destination` or to a stream";
const OF_CONFIG: &str = "under `config`";
const OF_RETRY: &str = "under `errors.retry`";

const USE: Key = Key::of(
    "use",
    Shape::Text,
    "A path that starts with `./`, `../` or `/` (a connector project or a `.wasm` component), or a package: `source-jira`, `acme/source-jira@^1.2`, `oci://registry.example/acme/source-jira`.",
);
const CONFIG: Key =
    Key::of("config", Shape::Config, "What the connector's own config schema allows.").may_be_empty();
const STREAM_NAME: Key = Key::of("stream", Shape::Text, "A stream of the pipeline.");
const WRITE_MODE: Key = Key::of(
    "write_mode",
    Shape::Words(&["append", "replace", "upsert", "merge"]),
    "`append` adds records, `replace` puts the new content in the place of the old at once, `upsert` inserts or replaces the record of the same key, `merge` inserts or updates columns of it. Default: append.",
);
const PRIMARY_KEY: Key =
    Key::of("primary_key", Shape::Names, "The columns that identify a record: for `upsert` and `merge`.");
const UPDATE_COLUMNS: Key =
    Key::of("update_columns", Shape::Names, "The columns that `merge` updates; default: all but the key.");
const ON_DATA_ERROR: Key = Key::of(
    "on_data_error",
    Shape::Words(&["fail", "skip", "dlq"]),
    "What is done with a record that is refused: end the run, leave it out, or keep it as a dead letter.",
);
const SCHEMA_EVOLUTION: Key =
    Key::of("schema_evolution", Shape::Map(&EVOLUTION), "What is done when a stream's schema changes.");

pub(crate) static DOCUMENT: Table = Table {
    name: "pipeline",
    about: "A Rapidbyte pipeline: where records come from, what happens to them, where they go.",
    keys: &[
        Key::of("version", Shape::Version, "The version of the format.").required(),
        Key::of(
            "pipeline",
            Shape::PipelineName,
            "The pipeline's name. State and receipts are kept under it, so a renamed pipeline starts over.",
        )
        .required(),
        Key::of("source", Shape::Map(&SOURCE), "Where records come from.").required(),
        Key::of(
            "transforms",
            Shape::List { of: &Shape::Map(&TRANSFORM), may_be_empty: true },
            "What happens to records on their way, in order.",
        )
        .may_be_empty(),
        Key::of(
            "contracts",
            Shape::List { of: &Shape::Map(&CONTRACT), may_be_empty: true },
            "What records have to hold before they are written.",
        )
        .may_be_empty(),
        Key::of("destination", Shape::Map(&DESTINATION), "Where records go.").required(),
        Key::of("errors", Shape::Map(&ERRORS), "What is done when something fails.").may_be_empty(),
        Key::of("state", Shape::Map(&STATE), "Where positions, runs and dead letters are kept.")
            .may_be_empty(),
        Key::of("resources", Shape::Map(&RESOURCES), "Bounds of a run.").may_be_empty(),
        Key::of("hooks", Shape::Map(&HOOKS), "Commands around a run.").may_be_empty(),
        Key::of("cache", Shape::Map(&CACHE), "The local cache that `rapidbyte query` reads.").may_be_empty(),
    ],
    elsewhere: &[
        ("streams", "under `source`"),
        ("write_mode", OF_WRITE),
        ("primary_key", OF_WRITE),
        ("schema_evolution", OF_WRITE),
        ("on_data_error", OF_WRITE),
        ("dlq_table", "to `destination`"),
        ("retry", "under `errors`"),
        ("on_error", "under `errors`"),
        ("dead_letter", "under `errors`"),
        ("circuit_breaker", "under `errors`"),
        ("max_memory", "under `resources`"),
        ("parallelism", "under `resources`"),
        ("on_success", "under `hooks`"),
        ("on_failure", "under `hooks`"),
        ("on_complete", "under `hooks`"),
    ],
    together: Together::Any,
};

pub(crate) static SOURCE: Table = Table {
    name: "source",
    about: "Where records come from.",
    keys: &[
        USE.required(),
        CONFIG,
        Key::of(
            "streams",
            Shape::AllOr(&Shape::Map(&STREAM)),
            "The streams to read. Without the key, or with `all`, every stream of the source's catalog, whole.",
        ),
    ],
    elsewhere: &[
        ("sync_mode", OF_STREAM),
        ("cursor_field", OF_STREAM),
        ("tie_breaker", OF_STREAM),
        ("columns", OF_STREAM),
        ("filter", OF_STREAM),
        ("partition_key", OF_STREAM),
        ("partitions", OF_STREAM),
        ("write_mode", OF_WRITE),
        ("primary_key", OF_WRITE),
        ("update_columns", OF_WRITE),
        ("schema_evolution", OF_WRITE),
        ("on_data_error", OF_WRITE),
        ("host", OF_CONFIG),
        ("port", OF_CONFIG),
        ("url", OF_CONFIG),
        ("path", OF_CONFIG),
    ],
    together: Together::Any,
};

pub(crate) static STREAM: Table = Table {
    name: "stream",
    about: "One table, endpoint or topic of the source.",
    keys: &[
        Key::of("name", Shape::Text, "As the source's catalog calls it; unique in the pipeline.").required(),
        Key::of(
            "sync_mode",
            Shape::Words(&["full_refresh", "incremental", "cdc"]),
            "`full_refresh` reads everything at each run, `incremental` what is new behind the cursor, `cdc` the source's log of changes. Default: full_refresh.",
        ),
        Key::of("cursor_field", Shape::Text, "The column that grows with every change: for `incremental`."),
        Key::of(
            "tie_breaker",
            Shape::NameOrNames,
            "Columns that order records whose cursor is equal; default: the connector's choice.",
        ),
        Key::of("columns", Shape::Names, "The columns to read; default: all."),
        Key::of("filter", Shape::Text, "SQL that chooses the records to read: `amount_cents > 10000`."),
        Key::of(
            "partition_key",
            Shape::Text,
            "The column by whose values a large stream is read in ranges side by side; default: the source's choice.",
        ),
        Key::of(
            "partitions",
            Shape::Integer { min: 1, max: PARTITIONS_MAX as u64 },
            "Into how many ranges the stream is divided, 1 for never; default: by its size and `parallelism`.",
        ),
        WRITE_MODE,
        PRIMARY_KEY,
        UPDATE_COLUMNS,
        SCHEMA_EVOLUTION,
        ON_DATA_ERROR,
    ],
    elsewhere: &[
        ("dlq_table", "to `destination`"),
        ("operations", "under `transforms`"),
        ("where", "in `filter`"),
    ],
    together: Together::Any,
};

pub(crate) static TRANSFORM: Table = Table {
    name: "transform",
    about: "A transform connector (`use`), or operations of the host.",
    keys: &[
        Key::of("stream", Shape::Text, "The only stream that passes it; default: all."),
        USE,
        CONFIG,
        Key::of(
            "operations",
            Shape::List { of: &Shape::Map(&OPERATION), may_be_empty: false },
            "What is done to the records, in order.",
        ),
    ],
    elsewhere: &[
        ("rename_column", "under `operations`"),
        ("add_column", "under `operations`"),
        ("cast_column", "under `operations`"),
        ("drop_columns", "under `operations`"),
        ("filter", "under `operations`"),
        ("sql", "under `operations`"),
    ],
    together: Together::Either { this: "use", that: "operations", that_excludes: "config" },
};

pub(crate) static OPERATION: Table = Table {
    name: "operation",
    about: "One operation.",
    keys: &[
        Key::of("rename_column", Shape::Map(&RENAME_COLUMN), "Gives a column another name."),
        Key::of("add_column", Shape::Map(&ADD_COLUMN), "Adds a column, computed from the others."),
        Key::of("cast_column", Shape::Map(&CAST_COLUMN), "Turns a column into another type."),
        Key::of("drop_columns", Shape::Names, "Takes columns away."),
        Key::of("filter", Shape::Text, "Keeps the records for which this SQL is true: `amount > 0`."),
        Key::of(
            "sql",
            Shape::Text,
            "A query over the records, called `input`: `SELECT id, lower(email) AS email FROM input`.",
        ),
    ],
    elsewhere: &[],
    together: Together::One,
};

pub(crate) static RENAME_COLUMN: Table = Table {
    name: "rename_column",
    about: "Gives a column another name.",
    keys: &[
        Key::of("from", Shape::Text, "The column.").required(),
        Key::of("to", Shape::Text, "Its new name.").required(),
    ],
    elsewhere: &[],
    together: Together::Any,
};

pub(crate) static ADD_COLUMN: Table = Table {
    name: "add_column",
    about: "Adds a column.",
    keys: &[
        Key::of("name", Shape::Text, "The new column.").required(),
        Key::of("expression", Shape::Text, "SQL over the other columns: `CAST(cents AS DOUBLE) / 100`.")
            .required(),
    ],
    elsewhere: &[],
    together: Together::Any,
};

pub(crate) static CAST_COLUMN: Table = Table {
    name: "cast_column",
    about: "Turns a column into another type.",
    keys: &[
        Key::of("column", Shape::Text, "The column.").required(),
        Key::of(
            "to",
            Shape::Text,
            "A type as Arrow or SQL names it: `Timestamp`, `Utf8`, `Int64`, `DECIMAL(18,2)`.",
        )
        .required(),
    ],
    elsewhere: &[],
    together: Together::Any,
};

const VIOLATION: &[&str] = &["fail", "warn", "drop_row"];

pub(crate) static CONTRACT: Table = Table {
    name: "contract",
    about: "What the records of a stream have to hold.",
    keys: &[
        STREAM_NAME.required(),
        Key::of(
            "required_columns",
            Shape::List { of: &Shape::Map(&REQUIRED_COLUMN), may_be_empty: false },
            "Columns that must be there.",
        ),
        Key::of(
            "column_rules",
            Shape::List { of: &Shape::Map(&COLUMN_RULE), may_be_empty: false },
            "What every value of a column has to hold.",
        ),
        Key::of(
            "on_violation",
            Shape::Words(VIOLATION),
            "What is done with a record that breaks a rule which does not say itself. Default: fail.",
        ),
        Key::of("notify", Shape::Map(&NOTIFY), "Who is told of violations."),
    ],
    elsewhere: &[],
    together: Together::AtLeastOne(&["required_columns", "column_rules"]),
};

pub(crate) static REQUIRED_COLUMN: Table = Table {
    name: "required_column",
    about: "A column that must be there.",
    keys: &[
        Key::of("name", Shape::Text, "The column.").required(),
        Key::of("type", Shape::Text, "Its type as Arrow or SQL names it; default: any."),
        Key::of("nullable", Shape::Boolean, "Whether values may be null; default: not judged."),
    ],
    elsewhere: &[],
    together: Together::Any,
};

pub(crate) static COLUMN_RULE: Table = Table {
    name: "column_rule",
    about: "What every value of a column has to hold.",
    keys: &[
        Key::of("column", Shape::Text, "The column.").required(),
        Key::of(
            "check",
            Shape::Text,
            "SQL over `value`, true for every good one: `value >= 0`. Null is good.",
        )
        .required(),
        Key::of("on_violation", Shape::Words(VIOLATION), "Default: the contract's."),
    ],
    elsewhere: &[],
    together: Together::Any,
};

pub(crate) static NOTIFY: Table = Table {
    name: "notify",
    about: "Who is told of violations: one of the two.",
    keys: &[
        Key::of(
            "slack_webhook",
            Shape::Text,
            "An incoming webhook of Slack. Take it from the environment: it is a secret.",
        ),
        Key::of(
            "webhook",
            Shape::Text,
            "An address that gets the violations as JSON. Take it from the environment: it is a secret.",
        ),
    ],
    elsewhere: &[],
    together: Together::One,
};

pub(crate) static DESTINATION: Table = Table {
    name: "destination",
    about: "Where records go.",
    keys: &[
        USE.required(),
        CONFIG,
        WRITE_MODE,
        PRIMARY_KEY,
        UPDATE_COLUMNS,
        SCHEMA_EVOLUTION,
        ON_DATA_ERROR,
        Key::of("dlq_table", Shape::Text, "The table of the destination that dead letters go to."),
    ],
    elsewhere: &[
        ("streams", "under `source`"),
        ("dead_letter", "under `errors`"),
        ("on_error", "under `errors`"),
        ("host", OF_CONFIG),
        ("port", OF_CONFIG),
        ("url", OF_CONFIG),
        ("path", OF_CONFIG),
    ],
    together: Together::Any,
};

pub(crate) static EVOLUTION: Table = Table {
    name: "schema_evolution",
    about: "What is done when a stream's schema changes.",
    keys: &[
        Key::of("new_column", Shape::Words(&["add", "ignore", "fail"]), "A column comes. Default: add."),
        Key::of(
            "removed_column",
            Shape::Words(&["ignore", "drop", "fail"]),
            "A column is gone. Default: ignore.",
        ),
        Key::of(
            "type_change",
            Shape::Words(&["coerce", "fail", "ignore", "null"]),
            "A column has another type: widen the destination's, end the run, leave the column as it was, or write null. Default: coerce.",
        ),
        Key::of(
            "nullability_change",
            Shape::Words(&["allow", "fail"]),
            "A column may be null that could not. Default: allow.",
        ),
    ],
    elsewhere: &[],
    together: Together::Any,
};

pub(crate) static ERRORS: Table = Table {
    name: "errors",
    about: "What is done when something fails.",
    keys: &[
        Key::of(
            "retry",
            Shape::Map(&RETRY),
            "When a stream that failed is started again from its last commit.",
        ),
        Key::of(
            "on_error",
            Shape::Words(&["skip_row", "fail", "dead_letter"]),
            "What is done with a record that is refused: leave it out, end the run, or keep it as a dead letter. Default: fail.",
        ),
        Key::of(
            "dead_letter",
            Shape::Map(&DEAD_LETTER),
            "A destination for dead letters; default: they stay in the state.",
        ),
        Key::of("circuit_breaker", Shape::Map(&BREAKER), "When a pipeline stops trying."),
    ],
    elsewhere: &[
        ("max_attempts", OF_RETRY),
        ("backoff", OF_RETRY),
        ("initial_delay", OF_RETRY),
        ("max_delay", OF_RETRY),
        ("on_data_error", "to `destination` or to a stream; here it is `on_error`"),
        ("dlq_table", "to `destination`"),
    ],
    together: Together::Any,
};

pub(crate) static RETRY: Table = Table {
    name: "retry",
    about: "When a stream that failed is started again from its last commit.",
    keys: &[
        Key::of(
            "max_attempts",
            Shape::Integer { min: 1, max: RETRY_ATTEMPTS_MAX as u64 },
            "Attempts in all: 1 is never again. Default: 3.",
        ),
        Key::of(
            "backoff",
            Shape::Words(&["exponential", "linear", "fixed"]),
            "How the wait grows. Default: exponential.",
        ),
        Key::of("initial_delay", Shape::Duration, "The first wait. Default: 1s."),
        Key::of("max_delay", Shape::Duration, "The longest wait. Default: 30s."),
        Key::of(
            "jitter",
            Shape::Boolean,
            "Whether waits are varied, so that many do not come back at once. Default: true.",
        ),
        Key::of(
            "retryable_errors",
            Shape::Names,
            "Kinds of errors: `connection_timeout`, `rate_limit`, `server_error`, a category or a code. Default: what the connector calls retryable.",
        ),
    ],
    elsewhere: &[],
    together: Together::Any,
};

pub(crate) static DEAD_LETTER: Table = Table {
    name: "dead_letter",
    about: "A destination for dead letters.",
    keys: &[
        Key { name: "destination", ..USE }.required(),
        Key::of(
            "config",
            Shape::Config,
            "What the destination's own config schema allows; `${pipeline}` and `${stream}` stand for the names.",
        )
        .may_be_empty(),
        Key::of("include_error", Shape::Boolean, "Whether the error goes with the record. Default: true."),
    ],
    elsewhere: &[("use", "in `destination`: `dead_letter: { destination: rapidbyte/dest-s3@1.0.0 }`")],
    together: Together::Any,
};

pub(crate) static BREAKER: Table = Table {
    name: "circuit_breaker",
    about: "When a pipeline stops trying.",
    keys: &[
        Key::of("error_threshold", Shape::Integer { min: 1, max: u64::MAX }, "Refused records of a run."),
        Key::of(
            "error_rate",
            Shape::Fraction,
            "Refused records of all records of a run: above 0, at most 1.",
        ),
        Key::of("cooldown", Shape::Duration, "For this long the stream is not started again. Default: 60s."),
    ],
    elsewhere: &[],
    together: Together::AtLeastOne(&["error_threshold", "error_rate"]),
};

pub(crate) static STATE: Table = Table {
    name: "state",
    about: "Where positions, runs and dead letters are kept.",
    keys: &[
        Key::of("backend", Shape::Words(&["sqlite", "postgres"]), "Default: sqlite."),
        Key::of(
            "path",
            Shape::Text,
            "The file of SQLite; default: in the workspace, else in the user's folder.",
        ),
        Key::of(
            "connection",
            Shape::Text,
            "For PostgreSQL: `postgres://user:password@host/database`. Take it from the environment: it is a secret.",
        ),
    ],
    elsewhere: &[],
    together: Together::Any,
};

pub(crate) static RESOURCES: Table = Table {
    name: "resources",
    about: "Bounds of a run.",
    keys: &[
        Key::of(
            "max_memory",
            Shape::Size,
            "All connectors and batches of the run together; at least 64mb. Default: 512mb.",
        ),
        Key::of(
            "max_batch_bytes",
            Shape::Size,
            "One batch; at most a quarter of `max_memory`. Default: an eighth of it, at most 64mb.",
        ),
        Key::of("max_record_bytes", Shape::Size, "One record. Default: what fits into a batch."),
        Key::of(
            "parallelism",
            Shape::Integer { min: 1, max: host::PARALLELISM_MAX as u64 },
            "Streams and partitions side by side. Default: 4.",
        ),
        Key::of(
            "checkpoint_interval_bytes",
            Shape::Size,
            "A checkpoint is made when the first of the three is reached. Default: 64mb.",
        ),
        Key::of("checkpoint_interval_rows", Shape::Integer { min: 1, max: u64::MAX }, "Default: 1000000."),
        Key::of(
            "checkpoint_interval_seconds",
            Shape::Seconds,
            "Seconds, or a time such as `5m`. Default: 60.",
        ),
    ],
    elsewhere: &[],
    together: Together::Any,
};

const HOOK_LIST: Shape = Shape::List { of: &Shape::Map(&HOOK), may_be_empty: true };

pub(crate) static HOOKS: Table = Table {
    name: "hooks",
    about: "Commands around a run, in order.",
    keys: &[
        Key::of("on_success", HOOK_LIST, "When every stream has moved.").may_be_empty(),
        Key::of("on_failure", HOOK_LIST, "When something failed.").may_be_empty(),
        Key::of("on_complete", HOOK_LIST, "After the others, always.").may_be_empty(),
    ],
    elsewhere: &[],
    together: Together::Any,
};

pub(crate) static HOOK: Table = Table {
    name: "hook",
    about: "One command.",
    keys: &[
        Key::of("exec", Shape::Text, "What `sh -c` is given.").required(),
        Key::of("timeout", Shape::Duration, "After this long it is ended. Default: 10m."),
    ],
    elsewhere: &[],
    together: Together::Any,
};

pub(crate) static CACHE: Table = Table {
    name: "cache",
    about: "A local Parquet copy of the streams, for `rapidbyte query`.",
    keys: &[
        Key::of("enabled", Shape::Boolean, "Whether there is one. Default: true where `cache` stands."),
        Key::of("path", Shape::Text, "Its folder; default: in the workspace, else in the user's folder."),
    ],
    elsewhere: &[],
    together: Together::Any,
};
