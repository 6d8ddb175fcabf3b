//! `resources`: bounds of a run, and how those that are not stated follow from those that are.

use rapidbyte_core::limits as host;

use crate::diagnostic::Diagnostic;
use crate::format::RESOURCES;
use crate::limits::{BATCH_MEMORY_SHARE, BATCHES_IN_MEMORY_MIN, CHECKPOINT_INTERVAL_SECONDS_MAX};
use crate::node::Node;
use crate::quantity::format_bytes;
use crate::reader::{Reader, Section};
use crate::span::{Span, Spanned};
use crate::spec::Resources;

/// What one file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResourceWords {
    max_memory: Option<Spanned<u64>>,
    max_batch: Option<Spanned<u64>>,
    max_record: Option<Spanned<u64>>,
    parallelism: Option<Spanned<u64>>,
    interval_bytes: Option<Spanned<u64>>,
    interval_rows: Option<Spanned<u64>>,
    interval_seconds: Option<Spanned<u64>>,
}

impl ResourceWords {
    /// These words, and those of another file where there are none.
    pub fn over(&self, below: &ResourceWords) -> ResourceWords {
        ResourceWords {
            max_memory: self.max_memory.or(below.max_memory),
            max_batch: self.max_batch.or(below.max_batch),
            max_record: self.max_record.or(below.max_record),
            parallelism: self.parallelism.or(below.parallelism),
            interval_bytes: self.interval_bytes.or(below.interval_bytes),
            interval_rows: self.interval_rows.or(below.interval_rows),
            interval_seconds: self.interval_seconds.or(below.interval_seconds),
        }
    }

    /// The same words as another file has them: without a place in its text.
    pub fn elsewhere(self) -> ResourceWords {
        let moved = |word: Option<Spanned<u64>>| word.map(|word| Spanned::new(word.value, Span::ELSEWHERE));
        ResourceWords {
            max_memory: moved(self.max_memory),
            max_batch: moved(self.max_batch),
            max_record: moved(self.max_record),
            parallelism: moved(self.parallelism),
            interval_bytes: moved(self.interval_bytes),
            interval_rows: moved(self.interval_rows),
            interval_seconds: moved(self.interval_seconds),
        }
    }
}

/// None after an error.
pub(crate) fn read(reader: &mut Reader<'_>, document: Section<'_>) -> Option<ResourceWords> {
    let Some(entry) = document.entry("resources").filter(|entry| !entry.value.is_null()) else {
        return Some(ResourceWords::default());
    };
    let section = reader.section(&entry.value, "`resources`", entry.key.span, &RESOURCES)?;
    let found_before = reader.errors.len();
    let mut size = |key: &str| section.get(key).and_then(|node| reader.bytes(node, &format!("`{key}`")));
    let (max_memory, max_batch) = (size("max_memory"), size("max_batch_bytes"));
    let (max_record, interval_bytes) = (size("max_record_bytes"), size("checkpoint_interval_bytes"));
    let mut count = |key: &str, max: u64| {
        section.get(key).and_then(|node| reader.integer(node, &format!("`{key}`"), 1, max))
    };
    let parallelism = count("parallelism", u64::from(host::PARALLELISM_MAX));
    let interval_rows = count("checkpoint_interval_rows", u64::MAX);
    let interval_seconds = section
        .get("checkpoint_interval_seconds")
        .and_then(|node| read_seconds(reader, node, "`checkpoint_interval_seconds`"));
    (reader.errors.len() == found_before).then_some(ResourceWords {
        max_memory,
        max_batch,
        max_record,
        parallelism,
        interval_bytes,
        interval_rows,
        interval_seconds,
    })
}

/// With defaults, checked against each other.
pub(crate) fn resolve(reader: &mut Reader<'_>, words: &ResourceWords) -> Resources {
    let or = |stated: Option<Spanned<u64>>, default: u64| stated.unwrap_or(Spanned::default_of(default));
    let narrow = |value: Spanned<u64>| value.map(|value| u32::try_from(value).unwrap_or(u32::MAX));
    // What is not stated follows from what is.
    let max_memory_bytes = or(words.max_memory, host::MEMORY_BYTES_DEFAULT);
    let batch_default =
        (max_memory_bytes.value / BATCH_MEMORY_SHARE).clamp(host::BATCH_BYTES_MIN, host::BATCH_BYTES_DEFAULT);
    let max_batch_bytes = or(words.max_batch, batch_default);
    let record_default = max_batch_bytes.value.saturating_sub(host::BATCH_OVERHEAD_BYTES);
    let resources = Resources {
        max_memory_bytes,
        max_batch_bytes,
        max_record_bytes: or(words.max_record, record_default),
        parallelism: narrow(or(words.parallelism, u64::from(host::PARALLELISM_DEFAULT))),
        checkpoint_interval_bytes: or(words.interval_bytes, host::CHECKPOINT_INTERVAL_BYTES_DEFAULT),
        checkpoint_interval_rows: or(words.interval_rows, host::CHECKPOINT_INTERVAL_ROWS_DEFAULT),
        checkpoint_interval_seconds: narrow(or(
            words.interval_seconds,
            u64::from(host::CHECKPOINT_INTERVAL_SECONDS_DEFAULT),
        )),
    };
    check_resources(reader, &resources);
    resources
}

/// Whole seconds: `60`, or a time such as `5m`.
fn read_seconds(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Spanned<u64>> {
    let unitless = node.as_scalar().is_some_and(|scalar| scalar.raw().bytes().all(|b| b.is_ascii_digit()));
    let seconds = match unitless {
        true => return reader.integer(node, what, 1, CHECKPOINT_INTERVAL_SECONDS_MAX),
        false => reader.duration_ms(node, what)?.map(|ms| ms / 1000),
    };
    if (1..=CHECKPOINT_INTERVAL_SECONDS_MAX).contains(&seconds.value) {
        return Some(seconds);
    }
    let message = format!("{what} cannot be {}", reader.shown(node));
    let help = format!("it must be between 1 second and {} hours", CHECKPOINT_INTERVAL_SECONDS_MAX / 3600);
    reader.error(Diagnostic::error("out_of_range", node.span, message).help(help));
    None
}

fn check_resources(reader: &mut Reader<'_>, resources: &Resources) {
    let memory = resources.max_memory_bytes;
    let batch = resources.max_batch_bytes;
    let record = resources.max_record_bytes;
    if memory.value < host::MEMORY_BYTES_MIN {
        let message = format!("`max_memory` cannot be below {}", format_bytes(host::MEMORY_BYTES_MIN));
        reader.error(
            Diagnostic::error("out_of_range", memory.span, message)
                .help("two connectors and the channel between them do not fit into less"),
        );
        return;
    }
    let batch_max = host::BATCH_BYTES_MAX.min(memory.value / BATCHES_IN_MEMORY_MIN);
    if batch.is_stated() && batch.value > batch_max && batch_max < host::BATCH_BYTES_MAX {
        let message = format!(
            "`max_batch_bytes` is more than a quarter of `max_memory`, which is {}",
            format_bytes(memory.value)
        );
        let error = Diagnostic::error("batch_exceeds_memory", batch.span, message).help(format!(
            "source, destination and the channel between them hold a batch each: use at most {}",
            format_bytes(batch_max)
        ));
        reader.error(match !memory.span.is_none() {
            true => error.related(memory.span, "`max_memory` is set here"),
            false => error,
        });
    } else if !(host::BATCH_BYTES_MIN..=host::BATCH_BYTES_MAX).contains(&batch.value) {
        let (min, max) = (format_bytes(host::BATCH_BYTES_MIN), format_bytes(host::BATCH_BYTES_MAX));
        let message = format!("`max_batch_bytes` must be between {min} and {max}");
        reader.error(Diagnostic::error("out_of_range", batch.span, message));
    } else if record.value > batch.value - host::BATCH_OVERHEAD_BYTES {
        let room = format_bytes(batch.value - host::BATCH_OVERHEAD_BYTES);
        let message = format!(
            "a record of `max_record_bytes` does not fit into a batch of {}",
            format_bytes(batch.value)
        );
        let error = Diagnostic::error("record_exceeds_batch", record.span, message)
            .help(format!("lower it to {room}, or raise `max_batch_bytes`"));
        reader.error(match !batch.span.is_none() {
            true => error.related(batch.span, "`max_batch_bytes` is set here"),
            false => error,
        });
    } else if record.value == 0 {
        reader.error(Diagnostic::error("out_of_range", record.span, "`max_record_bytes` must be at least 1"));
    }
    let interval = resources.checkpoint_interval_bytes;
    if interval.value == 0 {
        let message = "`checkpoint_interval_bytes` must be at least 1";
        reader.error(Diagnostic::error("out_of_range", interval.span, message));
    }
}
