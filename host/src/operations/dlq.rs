//! `rapidbyte dlq`: the dead letters that the state keeps of a document's pipeline.

use arrow_json::writer::{LineDelimited, WriterBuilder};
use rapidbyte_core::Frame;
use rapidbyte_core::dead_letter::{DeadLetterFilter, DeadLetterGroup, StoredDeadLetters};
use rapidbyte_core::limits::BATCH_BYTES_MAX;
use serde::Serialize;
use serde_json::value::RawValue;

use super::document::Document;
use crate::error::HostError;
use crate::settings::Host;

/// Batches of dead letters that are in memory at once while they are looked through.
const PAGE_BATCHES: u32 = 16;

/// Which dead letters are shown.
#[derive(Debug, Clone, Default)]
pub struct LetterOptions {
    pub stream: Option<String>,
    pub origin: Option<String>,
    pub code: Option<String>,
    /// At most so many records, the oldest first.
    pub limit: u64,
}

/// One record that could not go on.
#[derive(Debug, Clone, Serialize)]
pub struct DeadRecord {
    /// Of its batch in the state; several records share one.
    pub id: i64,
    pub stream: String,
    pub partition: u32,
    pub run_id: i64,
    pub origin: String,
    pub connector: String,
    /// Milliseconds since the epoch.
    #[serde(skip)]
    pub occurred_at: i64,
    pub errors: Vec<LetterError>,
    /// None: the frame cannot be shown as JSON.
    pub record: Option<Box<RawValue>>,
}

#[derive(Debug, Clone, Serialize)]
pub struct LetterError {
    pub code: String,
    pub message: String,
}

impl Host {
    /// How many dead letters there are of which kind.
    pub async fn dead_letter_groups(&self, document: &Document) -> Result<Vec<DeadLetterGroup>, HostError> {
        let Some(state) = self.look_at_state(document).await? else { return Ok(Vec::new()) };
        Ok(state.dead_letter_groups(Some(&document.pipeline.name.value)).await?)
    }

    /// Hands the dead letters that are asked for to `show`, one by one, and answers how many there were.
    pub async fn show_dead_letters(
        &self,
        document: &Document,
        options: &LetterOptions,
        mut show: impl FnMut(DeadRecord),
    ) -> Result<u64, HostError> {
        let Some(state) = self.look_at_state(document).await? else { return Ok(0) };
        let filter = filter(document, options.stream.clone());
        let (mut behind, mut shown) = (0, 0);
        while shown < options.limit {
            let page = state.dead_letters(&filter, behind, PAGE_BATCHES).await?;
            let Some(last) = page.last() else { break };
            behind = last.id;
            for stored in &page {
                if options.origin.as_ref().is_some_and(|origin| *origin != stored.letters.origin) {
                    continue;
                }
                for record in records(stored, options.code.as_deref()) {
                    if shown == options.limit {
                        return Ok(shown);
                    }
                    shown += 1;
                    show(record);
                }
            }
        }
        Ok(shown)
    }

    /// Forgets the dead letters of one stream, or of all; answers how many batches there were.
    pub async fn forget_dead_letters(
        &self,
        document: &Document,
        stream: Option<&str>,
    ) -> Result<u64, HostError> {
        let Some(state) = self.look_at_state(document).await? else { return Ok(0) };
        let filter = filter(document, stream.map(str::to_owned));
        let mut forgotten = 0;
        loop {
            let page = state.dead_letters(&filter, 0, PAGE_BATCHES).await?;
            if page.is_empty() {
                return Ok(forgotten);
            }
            let ids: Vec<i64> = page.iter().map(|stored| stored.id).collect();
            state.forget_dead_letters(&ids).await?;
            forgotten += ids.len() as u64;
        }
    }
}

fn filter(document: &Document, stream: Option<String>) -> DeadLetterFilter {
    DeadLetterFilter { pipeline: document.pipeline.name.value.clone(), stream }
}

/// The records of a batch that have an error with this code (none: any), each with all its errors.
fn records(stored: &StoredDeadLetters, code: Option<&str>) -> Vec<DeadRecord> {
    let letters = &stored.letters;
    let rows = rows(stored);
    let count = letters.errors.iter().map(|error| error.row as usize + 1).max().unwrap_or(0);
    let mut records: Vec<Vec<LetterError>> = Vec::new();
    records.resize_with(count.min(rows.as_ref().map_or(count, Vec::len)), Vec::new);
    for error in &letters.errors {
        if let Some(errors) = records.get_mut(error.row as usize) {
            errors.push(LetterError { code: error.code.clone(), message: error.message.clone() });
        }
    }
    let wanted = |errors: &[LetterError]| {
        !errors.is_empty() && code.is_none_or(|code| errors.iter().any(|error| error.code == code))
    };
    let record = |(row, errors): (usize, Vec<LetterError>)| DeadRecord {
        id: stored.id,
        stream: stored.key.stream.clone(),
        partition: stored.key.partition,
        run_id: stored.run_id,
        origin: letters.origin.clone(),
        connector: letters.connector.clone(),
        occurred_at: letters.occurred_at,
        errors,
        record: rows.as_ref().and_then(|rows| rows.get(row).cloned()),
    };
    records.into_iter().enumerate().filter(|(_, errors)| wanted(errors)).map(record).collect()
}

/// The rows of a frame as JSON objects, nulls included.
fn rows(stored: &StoredDeadLetters) -> Option<Vec<Box<RawValue>>> {
    let batch = Frame::check(stored.letters.frame.clone(), BATCH_BYTES_MAX).ok()?.decode().ok()?;
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(&batch).ok()?;
    writer.finish().ok()?;
    let text = String::from_utf8(writer.into_inner()).ok()?;
    text.lines().map(|line| RawValue::from_string(line.to_owned()).ok()).collect()
}
