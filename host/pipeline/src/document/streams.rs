//! `source.streams` and the destination's write keys as written, before defaults and overrides are applied.

use rapidbyte_core::contract::{SyncMode, WriteMode};

use super::policies::{self, PolicyWords};
use crate::diagnostic::Diagnostic;
use crate::format::STREAM;
use crate::limits::{COLUMN_NAME_BYTES_MAX, PARTITIONS_MAX, STREAM_NAME_BYTES_MAX};
use crate::node::{Kind, Node};
use crate::reader::{Reader, Section};
use crate::span::{Span, Spanned};
use crate::spec::WriteSpec;

/// A list of names, at the place of its key.
pub(super) type Names = Spanned<Vec<Spanned<String>>>;

/// The destination's words for all streams.
pub(super) struct WriteDefaults {
    pub write: WriteWords,
    pub policies: PolicyWords,
    /// Part of it could not be read: what follows from it is not to be judged.
    pub broken: bool,
}

/// The write keys of the destination or of a stream.
#[derive(Default)]
pub(super) struct WriteWords {
    pub mode: Option<Spanned<WriteMode>>,
    pub primary_key: Option<Names>,
    pub update_columns: Option<Names>,
}

pub(super) enum StreamsWords {
    Listed(Vec<StreamWords>),
    All { span: Span },
}

pub(super) struct StreamWords {
    pub name: Spanned<String>,
    pub sync_mode: Option<Spanned<SyncMode>>,
    pub cursor_field: Option<Spanned<String>>,
    pub tie_breaker: Option<Names>,
    pub columns: Option<Names>,
    pub filter: Option<Spanned<String>>,
    pub partition_key: Option<Spanned<String>>,
    pub partitions: Option<Spanned<u32>>,
    pub write: WriteWords,
    pub policies: PolicyWords,
    pub span: Span,
    /// As in [`WriteDefaults`].
    pub broken: bool,
}

impl WriteDefaults {
    /// The defaults alone, as the checked document shows them.
    pub fn spec(&self) -> WriteSpec {
        let names =
            |names: &Option<Names>| names.as_ref().map(|names| names.value.clone()).unwrap_or_default();
        WriteSpec {
            mode: self.write.mode.unwrap_or(Spanned::default_of(WriteMode::Append)),
            primary_key: names(&self.write.primary_key),
            update_columns: names(&self.write.update_columns),
        }
    }
}

pub(super) fn read_write_defaults(reader: &mut Reader<'_>, section: Section<'_>) -> WriteDefaults {
    let found_before = reader.errors.len();
    let write = read_write(reader, section, "the destination's");
    let policies = policies::read(reader, section, "the destination's");
    WriteDefaults { write, policies, broken: reader.errors.len() > found_before }
}

fn read_write(reader: &mut Reader<'_>, section: Section<'_>, whose: &str) -> WriteWords {
    let words: Vec<_> = WriteMode::ALL.iter().map(|mode| (mode.as_str(), *mode)).collect();
    let mode = section
        .get("write_mode")
        .and_then(|node| reader.word(node, &format!("{whose} `write_mode`"), &words));
    WriteWords {
        mode,
        primary_key: read_columns(reader, section, "primary_key", &format!("{whose} `primary_key`")),
        update_columns: read_columns(reader, section, "update_columns", &format!("{whose} `update_columns`")),
    }
}

/// A list of column names that is not empty.
pub(super) fn read_columns(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    what: &str,
) -> Option<Names> {
    let entry = section.entry(key)?;
    let names = reader.names(&entry.value, what, COLUMN_NAME_BYTES_MAX)?;
    if names.is_empty() {
        // Where every item was wrong, that has been said.
        if matches!(&entry.value.kind, Kind::List(items) if items.is_empty()) {
            let help = match key {
                "columns" => "leave the key out to take all columns",
                "primary_key" => "name the columns that identify a record: `primary_key: [id]`",
                "drop_columns" => "name the columns to take away: `drop_columns: [metadata]`",
                _ => "leave the key out for the default",
            };
            reader.error(
                Diagnostic::error("empty_list", entry.key.span, format!("{what} is empty")).help(help),
            );
        }
        return None;
    }
    Some(Spanned::new(names, entry.key.span))
}

pub(super) fn read_streams(reader: &mut Reader<'_>, source: Section<'_>) -> Option<StreamsWords> {
    const ALL: &str = "list streams as `- { name: orders }`, or leave the key out to take all of them";
    let Some(entry) = source.entry("streams") else {
        return Some(StreamsWords::All { span: source.at });
    };
    let node = &entry.value;
    // A list somebody commented out must not turn into "everything".
    if node.is_null() || matches!(&node.kind, Kind::List(items) if items.is_empty()) {
        reader.error(Diagnostic::error("empty_list", entry.key.span, "`streams` is empty").help(ALL));
        return None;
    }
    if node.as_scalar().is_some_and(|scalar| scalar.raw() == "all") {
        return Some(StreamsWords::All { span: node.span });
    }
    let Kind::List(items) = &node.kind else {
        let message = format!("`streams` must be a list, not {}", node.describe());
        reader.error(Diagnostic::error("wrong_type", node.span, message).help(ALL));
        return None;
    };
    let streams: Vec<_> = items.iter().filter_map(|item| read_stream(reader, item)).collect();
    // A stream that could not be read has left an error; the others are still judged.
    Some(StreamsWords::Listed(streams))
}

fn read_stream(reader: &mut Reader<'_>, node: &Node) -> Option<StreamWords> {
    let found_before = reader.errors.len();
    if let Some(scalar) = node.as_scalar() {
        let message = format!("a stream must be a mapping, not {}", node.describe());
        let help = format!("write `- {{ name: {} }}`", crate::node::shorten(scalar.raw()));
        reader.error(Diagnostic::error("wrong_type", node.span, message).help(help));
        return None;
    }
    let start = node.entries().first().map_or(node.span, |entry| entry.key.span);
    let place = match node.get("name").and_then(Node::as_scalar) {
        Some(name) => format!("stream `{}`", crate::node::shorten(name.raw())),
        None => "a stream".to_owned(),
    };
    let section = reader.section(node, &place, start, &STREAM)?;
    let name = reader
        .required(section, &place, "name")
        .and_then(|node| reader.name(node, "a stream's `name`", STREAM_NAME_BYTES_MAX));
    let sync_mode = section.get("sync_mode").and_then(|node| {
        let words = policies::words(SyncMode::ALL, SyncMode::as_str);
        reader.word(node, &format!("the `sync_mode` of {place}"), &words)
    });
    let column = |reader: &mut Reader<'_>, key: &str| {
        let node = section.get(key)?;
        reader.name(node, &format!("the `{key}` of {place}"), COLUMN_NAME_BYTES_MAX)
    };
    let cursor_field = column(reader, "cursor_field");
    let tie_breaker = match section.entry("tie_breaker") {
        // One column needs no list.
        Some(entry) if entry.value.as_scalar().is_some() => {
            column(reader, "tie_breaker").map(|name| Spanned::new(vec![name], entry.key.span))
        }
        _ => read_columns(reader, section, "tie_breaker", &format!("the `tie_breaker` of {place}")),
    };
    let columns = read_columns(reader, section, "columns", &format!("the `columns` of {place}"));
    let filter =
        section.get("filter").and_then(|node| reader.expression(node, &format!("the `filter` of {place}")));
    let partition_key = column(reader, "partition_key");
    let partitions = section.get("partitions").and_then(|node| {
        let what = format!("the `partitions` of {place}");
        let partitions = reader.integer(node, &what, 1, u64::from(PARTITIONS_MAX))?;
        Some(partitions.map(|partitions| u32::try_from(partitions).unwrap_or(PARTITIONS_MAX)))
    });
    let write = read_write(reader, section, &format!("{place}'s"));
    let policies = policies::read(reader, section, &format!("{place}'s"));
    let broken = reader.errors.len() > found_before;
    Some(StreamWords {
        name: name?,
        sync_mode,
        cursor_field,
        tie_breaker,
        columns,
        filter,
        partition_key,
        partitions,
        write,
        policies,
        span: Span::new(start.start as usize, node.span.end as usize),
        broken,
    })
}
