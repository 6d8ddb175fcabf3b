//! What is impossible although each part is fine, and what is allowed but probably not meant. Applies the destination's
//! words to the streams.

use std::collections::{HashMap, HashSet};

use rapidbyte_core::contract::{DataErrorPolicy, SyncMode, WriteMode};

use super::policies;
use super::streams::{Names, StreamWords, StreamsWords, WriteDefaults};
use crate::diagnostic::Diagnostic;
use crate::interpolate::needs_filling;
use crate::node::shorten;
use crate::reader::{Reader, suggest};
use crate::span::{Span, Spanned};
use crate::spec::{
    ContractSpec, CursorDecl, DestinationSpec, ErrorsSpec, StreamSpec, Streams, TransformSpec, WriteSpec,
};

/// What streams are held against.
pub(super) struct Around<'a> {
    pub defaults: &'a WriteDefaults,
    pub transforms: &'a [TransformSpec],
    pub contracts: &'a [ContractSpec],
    /// Of the pipeline, for records that are refused.
    pub on_error: DataErrorPolicy,
}

/// Streams with defaults and overrides applied. None where nothing of them can be used.
pub(super) fn resolve(
    reader: &mut Reader<'_>,
    streams: StreamsWords,
    around: &Around<'_>,
) -> Option<Streams> {
    let Around { defaults, transforms, contracts, on_error } = *around;
    let streams = match streams {
        StreamsWords::All { span } => {
            let write = resolve_write(reader, None, defaults);
            if !defaults.broken {
                warn_of_repetition(reader, &write, span, "every stream");
            }
            let policies = policies::resolve(None, &defaults.policies, on_error);
            return Some(Streams::All { span, write, policies, on_error });
        }
        StreamsWords::Listed(streams) => streams,
    };
    check_names(reader, &streams);
    let of_transforms = transforms.iter().filter_map(|transform| transform.stream.as_ref());
    check_streams_known(
        reader,
        &streams,
        of_transforms,
        "a transform's `stream` is one of `source.streams`; without it, all streams pass",
    );
    let of_contracts = contracts.iter().map(|contract| &contract.stream);
    check_streams_known(reader, &streams, of_contracts, "a contract's `stream` is one of `source.streams`");
    if !defaults.broken {
        check_defaults_used(reader, &streams, defaults);
    }
    let passing = Passing::new(transforms, contracts);
    let resolved: Vec<_> =
        streams.into_iter().map(|stream| resolve_stream(reader, stream, around, &passing)).collect();
    (!resolved.is_empty()).then_some(Streams::Listed(resolved))
}

fn check_names(reader: &mut Reader<'_>, streams: &[StreamWords]) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for stream in streams {
        if let Some(first) = seen.insert(&stream.name, stream.name.span) {
            let message = format!("two streams are named `{}`", shorten(&written(reader, &stream.name)));
            reader.error(
                Diagnostic::error("duplicate_stream", stream.name.span, message)
                    .label("named again")
                    .related(first, "first named here")
                    .help(
                        "a stream is read once per pipeline; a second copy of it needs a pipeline of its own",
                    ),
            );
        }
    }
}

fn check_streams_known<'a>(
    reader: &mut Reader<'_>,
    streams: &[StreamWords],
    named: impl Iterator<Item = &'a Spanned<String>>,
    help: &str,
) {
    let known: HashSet<&str> = streams.iter().map(|stream| stream.name.value.as_str()).collect();
    for only in named {
        if known.contains(only.value.as_str()) || reader.is_full() {
            continue;
        }
        let message = format!("no stream is named `{}`", shorten(&written(reader, only)));
        let error = Diagnostic::error("unknown_stream", only.span, message);
        let similar = suggest(&only.value, literals(reader, streams.iter().map(|stream| &stream.name)));
        reader.error(match similar {
            Some(similar) => error.label(format!("did you mean `{similar}`?")),
            None => error.help(help),
        });
    }
}

/// What the destination says for merge streams needs one.
fn check_defaults_used(reader: &mut Reader<'_>, streams: &[StreamWords], defaults: &WriteDefaults) {
    let Some(update) = &defaults.write.update_columns else { return };
    let mode_of = |stream: &StreamWords| stream.write.mode.or(defaults.write.mode).map(|mode| mode.value);
    if !streams.iter().any(|stream| mode_of(stream) == Some(WriteMode::Merge)) {
        reader.error(update_columns_misplaced(update.span));
    }
}

fn update_columns_misplaced(span: Span) -> Diagnostic {
    Diagnostic::error("update_columns_without_merge", span, "`update_columns` needs `write_mode: merge`")
        .help("`upsert` replaces whole records; `merge` updates the columns named here and keeps the others")
}

/// Which streams pass a transform, and which columns contracts want of them.
struct Passing<'a> {
    all: bool,
    named: HashSet<&'a str>,
    promised: HashMap<&'a str, Vec<(&'a Spanned<String>, &'static str)>>,
}

impl<'a> Passing<'a> {
    fn new(transforms: &'a [TransformSpec], contracts: &'a [ContractSpec]) -> Self {
        let mut promised: HashMap<&str, Vec<_>> = HashMap::new();
        for contract in contracts {
            let columns = promised.entry(contract.stream.value.as_str()).or_default();
            columns.extend(contract.required_columns.iter().map(|column| (&column.name, "required_columns")));
            columns.extend(contract.column_rules.iter().map(|rule| (&rule.column, "column_rules")));
        }
        Passing {
            all: transforms.iter().any(|transform| transform.stream.is_none()),
            named: transforms
                .iter()
                .filter_map(|transform| Some(transform.stream.as_ref()?.value.as_str()))
                .collect(),
            promised,
        }
    }

    fn transforms(&self, stream: &str) -> bool {
        self.all || self.named.contains(stream)
    }

    fn promised(&self, stream: &str) -> &[(&'a Spanned<String>, &'static str)] {
        self.promised.get(stream).map_or(&[], Vec::as_slice)
    }
}

fn resolve_stream(
    reader: &mut Reader<'_>,
    stream: StreamWords,
    around: &Around<'_>,
    passing: &Passing<'_>,
) -> StreamSpec {
    let defaults = around.defaults;
    let write = resolve_write(reader, Some(&stream), defaults);
    let sync_mode = stream.sync_mode.unwrap_or(Spanned::default_of(SyncMode::FullRefresh));
    if !stream.broken {
        check_order(reader, &stream, sync_mode);
        check_columns(reader, &stream, &write, passing);
        check_partitions(reader, &stream);
        if !defaults.broken {
            check_replace(reader, &stream, sync_mode, &write);
            if sync_mode.value == SyncMode::FullRefresh {
                let whose = format!("stream `{}`", shorten(&written(reader, &stream.name)));
                warn_of_repetition(reader, &write, stream.name.span, &whose);
            }
        }
    }
    let names = |names: Option<Names>| names.map(|names| names.value).unwrap_or_default();
    let cursor = stream
        .cursor_field
        .filter(|_| sync_mode.value == SyncMode::Incremental)
        .map(|field| CursorDecl { field, tie_breaker: names(stream.tie_breaker) });
    let own = &stream.policies;
    StreamSpec {
        policies: policies::resolve(Some(own), &defaults.policies, around.on_error),
        on_error: own.on_data_error.map_or(around.on_error, |policy| policy.value),
        name: stream.name,
        sync_mode,
        cursor,
        columns: stream.columns,
        filter: stream.filter,
        partition_key: stream.partition_key,
        partitions: stream.partitions,
        write,
        span: stream.span,
    }
}

/// The stream's own words over the destination's.
fn resolve_write(
    reader: &mut Reader<'_>,
    stream: Option<&StreamWords>,
    defaults: &WriteDefaults,
) -> WriteSpec {
    let own = stream.map(|stream| &stream.write);
    let mode = own
        .and_then(|own| own.mode)
        .or(defaults.write.mode)
        .unwrap_or(Spanned::default_of(WriteMode::Append));
    let own_key = own.and_then(|own| own.primary_key.as_ref());
    let own_update = own.and_then(|own| own.update_columns.as_ref());
    let key = own_key.or(defaults.write.primary_key.as_ref());
    let update = own_update.or(defaults.write.update_columns.as_ref());
    let keyed = matches!(mode.value, WriteMode::Upsert | WriteMode::Merge);
    let judged = !defaults.broken && !stream.is_some_and(|stream| stream.broken);

    if judged && keyed && key.is_none() {
        let whose = match stream {
            Some(stream) => format!("of stream `{}` ", shorten(&written(reader, &stream.name))),
            None => String::new(),
        };
        let message = format!("the write mode `{}` {whose}needs a `primary_key`", mode.value);
        let error = Diagnostic::error("missing_primary_key", mode.span, message)
            .help("name the columns that identify a record, at the stream or at the destination: `primary_key: [id]`");
        reader.error(match stream {
            // The mode may stand at the destination, far from the stream it does not fit.
            Some(stream) if own.is_none_or(|own| own.mode.is_none()) => {
                error.related(stream.name.span, "for this stream")
            }
            _ => error,
        });
    }
    if judged
        && !keyed
        && let Some(key) = own_key
    {
        let message = format!("`primary_key` has no effect with the write mode `{}`", mode.value);
        let warning = Diagnostic::warning("unused_primary_key", key.span, message);
        reader.warnings.push(warning.help("a key is used by `upsert` and `merge`"));
    }
    if judged
        && mode.value != WriteMode::Merge
        && let Some(update) = own_update
    {
        reader.error(update_columns_misplaced(update.span));
    }
    if judged
        && mode.value == WriteMode::Merge
        && let (Some(key), Some(update)) = (key, update)
        && let Some(both) = both(key, update)
    {
        let message =
            format!("`{}` is part of the key and cannot be updated", shorten(&written(reader, both)));
        reader.error(
            Diagnostic::error("key_in_update_columns", both.span, message)
                .related(key.span, "the key is set here"),
        );
    }
    let mut names = |names: Option<&Names>, used: bool| {
        let names = names.filter(|names| used && reader.charge_names(names.len(), names.span));
        names.map(|names| names.value.clone()).unwrap_or_default()
    };
    WriteSpec {
        mode,
        primary_key: names(key, keyed),
        update_columns: names(update, mode.value == WriteMode::Merge),
    }
}

/// The first column that is both.
fn both<'n>(key: &Names, update: &'n Names) -> Option<&'n Spanned<String>> {
    let key: HashSet<&str> = key.iter().map(|column| column.value.as_str()).collect();
    update.iter().find(|column| key.contains(column.value.as_str()))
}

/// Sync mode, cursor and tie-breaker belong together.
fn check_order(reader: &mut Reader<'_>, stream: &StreamWords, sync_mode: Spanned<SyncMode>) {
    let name = shorten(&written(reader, &stream.name)).into_owned();
    match (sync_mode.value, &stream.cursor_field) {
        (SyncMode::Incremental, None) => reader.error(
            Diagnostic::error(
                "missing_cursor_field",
                sync_mode.span,
                format!("the incremental stream `{name}` needs a `cursor_field`"),
            )
            .help("name the column that grows with every change: `cursor_field: updated_at`"),
        ),
        (SyncMode::FullRefresh | SyncMode::Cdc, Some(cursor)) => {
            let mode = match sync_mode.value {
                SyncMode::Cdc => "the source's log of changes",
                _ => "a full refresh",
            };
            let error = Diagnostic::error(
                "cursor_without_incremental",
                cursor.span,
                format!("stream `{name}` has a `cursor_field`, but {mode} does not use one"),
            )
            .help("say `sync_mode: incremental`, or leave `cursor_field` out");
            reader.error(match stream.sync_mode {
                Some(mode) => error.related(mode.span, "the sync mode is set here"),
                None => error.label("without `sync_mode`, a stream is read as `full_refresh`"),
            });
        }
        _ => {}
    }
    if let (Some(tie_breaker), None) = (&stream.tie_breaker, &stream.cursor_field) {
        reader.error(
            Diagnostic::error(
                "tie_breaker_without_cursor",
                tie_breaker.span,
                format!("stream `{name}` has a `tie_breaker` but no `cursor_field`"),
            )
            .help("a tie-breaker orders records whose cursor is equal"),
        );
    }
    if let (Some(tie_breaker), Some(cursor)) = (&stream.tie_breaker, &stream.cursor_field)
        && let Some(same) = tie_breaker.iter().find(|column| column.value == cursor.value)
    {
        reader.error(
            Diagnostic::error("tie_breaker_is_cursor", same.span, "the `tie_breaker` is the cursor itself")
                .help("name columns that tell records of equal cursor apart, usually the primary key"),
        );
    }
}

/// Columns that other keys need must be among those read.
fn check_columns(reader: &mut Reader<'_>, stream: &StreamWords, write: &WriteSpec, passing: &Passing<'_>) {
    let Some(columns) = &stream.columns else { return };
    let mut needed: Vec<(&Spanned<String>, &str)> = Vec::new();
    needed.extend(stream.cursor_field.iter().map(|column| (column, "cursor_field")));
    needed
        .extend(stream.tie_breaker.iter().flat_map(|list| list.iter()).map(|column| (column, "tie_breaker")));
    if !passing.transforms(&stream.name) {
        // A transform may make the column.
        needed.extend(write.primary_key.iter().map(|column| (column, "primary_key")));
        needed.extend(write.update_columns.iter().map(|column| (column, "update_columns")));
        needed.extend(passing.promised(&stream.name));
    }
    let read: HashSet<&str> = columns.iter().map(|column| column.value.as_str()).collect();
    for (column, key) in needed {
        if read.contains(column.value.as_str()) || reader.is_full() {
            continue;
        }
        let shown = shorten(&written(reader, column)).into_owned();
        let name = shorten(&written(reader, &stream.name)).into_owned();
        let message = format!("`{shown}` of `{key}` is not among the `columns` of stream `{name}`");
        let error = Diagnostic::error("column_not_selected", column.span, message)
            .related(columns.span, "the columns are chosen here");
        let similar = suggest(&column.value, literals(reader, columns.iter()));
        reader.error(match similar {
            Some(similar) => error.label(format!("did you mean `{similar}`?")),
            None => error.help(format!("add `{shown}` to `columns`")),
        });
    }
}

/// Replacing a table by the changes since last time would lose the rest.
fn check_replace(
    reader: &mut Reader<'_>,
    stream: &StreamWords,
    sync_mode: Spanned<SyncMode>,
    write: &WriteSpec,
) {
    if sync_mode.value == SyncMode::FullRefresh || write.mode.value != WriteMode::Replace {
        return;
    }
    let name = shorten(&written(reader, &stream.name)).into_owned();
    let word = match sync_mode.value {
        SyncMode::Cdc => "read from the log",
        _ => "incremental",
    };
    let message = format!("stream `{name}` is {word}, but `replace` would keep only the newest changes");
    reader.error(
        Diagnostic::error("replace_with_incremental", write.mode.span, message)
            .related(sync_mode.span, format!("the stream is {word}"))
            .help("use `append` or `upsert` for this stream, or read it with `sync_mode: full_refresh`"),
    );
}

/// A key that divides needs something to divide.
fn check_partitions(reader: &mut Reader<'_>, stream: &StreamWords) {
    if let (Some(key), Some(partitions)) = (&stream.partition_key, &stream.partitions)
        && partitions.value == 1
    {
        let name = shorten(&written(reader, &stream.name)).into_owned();
        let message = format!("stream `{name}` has a `partition_key`, but `partitions: 1` never divides it");
        let error = Diagnostic::error("partition_key_unused", key.span, message);
        reader.error(error.related(partitions.span, "set here").help("leave one of the two out"));
    }
}

/// A place for dead letters that never get any.
pub(super) fn check_dead_letters(
    reader: &mut Reader<'_>,
    streams: &Streams,
    destination: &DestinationSpec,
    errors: &ErrorsSpec,
) {
    let is_dlq = |policy: DataErrorPolicy| policy == DataErrorPolicy::Dlq;
    let used = match streams {
        Streams::Listed(streams) => {
            streams.iter().any(|stream| is_dlq(stream.on_error) || is_dlq(stream.policies.on_data_error))
        }
        Streams::All { policies, on_error, .. } => is_dlq(*on_error) || is_dlq(policies.on_data_error),
    };
    if let (Some(table), Some(letters)) = (&destination.dlq_table, &errors.dead_letter) {
        let message = "`errors.dead_letter` gets no dead letters: `destination.dlq_table` takes them";
        reader.warnings.push(
            Diagnostic::warning("two_places_for_dead_letters", letters.connector.location.span, message)
                .related(table.span, "they go here")
                .help("leave one of the two out"),
        );
    }
    let table = destination.dlq_table.as_ref().map(|table| (table.span, "`destination.dlq_table`"));
    let connector = errors.dead_letter.as_ref();
    let connector = connector.map(|letters| (letters.connector.location.span, "`errors.dead_letter`"));
    for (span, what) in table.into_iter().chain(connector).filter(|_| !used) {
        let message = format!("{what} gets no dead letters: nothing asks for any");
        reader.warnings.push(Diagnostic::warning("unused_dead_letter", span, message).help(
            "say `errors.on_error: dead_letter`, or `on_data_error: dlq` at the destination or a stream",
        ));
    }
}

/// A full refresh that nobody told to append appends everything once more at every run.
fn warn_of_repetition(reader: &mut Reader<'_>, write: &WriteSpec, span: Span, whose: &str) {
    if write.mode.value == WriteMode::Append && !write.mode.is_stated() {
        let message = format!("each run appends {whose} again as a whole");
        reader.warnings.push(
            Diagnostic::warning("repeated_append", span, message)
                .help("say `write_mode: replace` or `upsert`; or `write_mode: append` if this is meant"),
        );
    }
}

/// The names that the document writes out: no other may be suggested.
fn literals<'n>(
    reader: &Reader<'_>,
    names: impl Iterator<Item = &'n Spanned<String>>,
) -> impl Iterator<Item = &'n str> {
    names.filter(|name| !needs_filling(reader.file.slice(name.span))).map(|name| name.value.as_str())
}

/// A name as the document writes it: what came from the environment shows as its variable.
pub(super) fn written(reader: &Reader<'_>, name: &Spanned<String>) -> String {
    let text = reader.file.slice(name.span);
    match needs_filling(text) {
        true => text.trim_matches(['"', '\'']).to_owned(),
        false => name.value.clone(),
    }
}
