//! The pump: rows → batches → checkpoints. One snapshot, one query behind the other, everything in the plan's order.
//! Knows no SQL and no types.

use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use rapidbyte_postgres::Session;
use rapidbyte_postgres::connect::{CopyEvent, CopyOut, Take};
use rapidbyte_postgres::decode::text::value_text;
use rapidbyte_postgres::decode::{DecodeError, Decoder};
use rapidbyte_postgres::types::Codec;
use rapidbyte_sdk::prelude::*;

use crate::catalog::Relation;
use crate::config::Config;
use crate::limits::{BATCH_ROWS_MAX, FRAME_COLUMN_BYTES, FRAME_ENVELOPE_BYTES};
use crate::plan::{Boundary, Order, Part, Plan};
use crate::position::{CursorPosition, Position, Values};
use crate::query;
use crate::refusal::Refusal;
use crate::snapshot;

/// How a read ended.
pub(crate) enum Ended {
    /// Everything asked for was read.
    Whole(ReadSummary),
    /// It was cancelled.
    Early(ReadSummary),
}

/// Reads one stream.
pub(crate) async fn read(
    session: &Session,
    config: &Config,
    ctx: &Context,
    request: &RunRequest,
) -> Result<Ended, ConnectorError> {
    let stream = request.stream()?;
    // A locked table may keep even the catalogs waiting.
    let opened = tokio::select! {
        biased;
        () = ctx.cancelled() => None,
        opened = snapshot::open(session, config, request) => Some(opened?),
    };
    let Some((relation, plan)) = opened else { return Ok(Ended::Early(ctx.read_summary())) };
    if request.dry_run {
        snapshot::dry_run(session, &relation, &plan).await?;
        return Ok(Ended::Whole(ctx.read_summary()));
    }
    let order = match &plan.order {
        Order::Unordered => "as it lies",
        Order::Key(_) => "by primary key",
        Order::Cursor { .. } => "by cursor",
    };
    let fields = [("order", order.into()), ("continues", plan.position.is_some().into())];
    ctx.log().debug("reading", &fields);
    let mut pump = Pump::new(ctx, stream, &relation, &plan);
    let mut records_left = request.max_records;
    for part in plan.parts(&relation) {
        let sql = query::copy(&relation, &plan, *part, plan.position.as_ref(), records_left);
        let doing = format!("reading stream `{}`", stream.name);
        let mut copy = session.copy_out(&doing, &sql, stream.limits.max_record_bytes).await?;
        let before = pump.records;
        if !pump.part(&mut copy, *part).await? {
            return Ok(Ended::Early(pump.summary()));
        }
        let read = pump.records - before;
        if let Some(left) = records_left.as_mut() {
            *left = left.saturating_sub(read);
            pump.cut_short |= *left == 0;
        }
    }
    pump.last_checkpoint().await?;
    let summary = pump.summary();
    snapshot::close(session).await?;
    Ok(Ended::Whole(summary))
}

/// What came back from taking rows.
enum Stopped {
    /// Give more.
    No,
    /// The batch is full.
    Full,
    /// Cursor or tie changes behind the rows taken.
    Boundary,
    Refused(Refusal),
}

struct Pump<'a> {
    ctx: &'a Context,
    stream: &'a StreamContext,
    relation: &'a Relation,
    plan: &'a Plan,
    decoder: Decoder,
    batch_bytes_target: u64,
    batch_bytes_max: u64,
    /// Rows read and kept, all batches together.
    records: u64,
    skipped: u64,
    /// Emitted since the last checkpoint.
    pending_rows: u64,
    pending_bytes: u64,
    last_checkpoint_at: Instant,
    /// Behind the last emitted row.
    position: CursorPosition,
    key: Values,
    /// The cursor's number, where it is a timestamp.
    raw_cursor: Option<i64>,
    /// `position` or `key` has moved since the last checkpoint.
    moved: bool,
    /// A checkpoint is due as soon as a row has another cursor or tie than this one, whose bytes these are.
    seeking: Option<Vec<Vec<u8>>>,
    /// The interval is over: seek behind the next row.
    seek_from_next: bool,
    /// `max_records` ended the read, maybe among records that the order does not tell apart.
    cut_short: bool,
}

impl<'a> Pump<'a> {
    fn new(ctx: &'a Context, stream: &'a StreamContext, relation: &'a Relation, plan: &'a Plan) -> Self {
        let codecs = plan.columns.iter().map(|index| relation.columns[*index].column_type.codec);
        let envelope = FRAME_ENVELOPE_BYTES + FRAME_COLUMN_BYTES * plan.columns.len() as u64;
        let batch_bytes_max = stream.limits.max_batch_bytes.saturating_sub(envelope).max(1);
        let batch_bytes_target = stream.limits.batch_bytes_target().min(batch_bytes_max);
        let (position, key) = match &plan.position {
            Some(Position::Cursor(position)) => (position.clone(), Values::new()),
            Some(Position::Key(key)) => (CursorPosition::default(), key.clone()),
            None => (CursorPosition::default(), Values::new()),
        };
        Self {
            ctx,
            stream,
            relation,
            plan,
            decoder: Decoder::new(codecs),
            batch_bytes_target,
            batch_bytes_max: batch_bytes_max.min(batch_bytes_target + batch_bytes_target / 2),
            records: 0,
            skipped: 0,
            pending_rows: 0,
            pending_bytes: 0,
            last_checkpoint_at: Instant::now(),
            position,
            key,
            raw_cursor: None,
            moved: false,
            seeking: None,
            seek_from_next: false,
            cut_short: false,
        }
    }

    fn summary(&self) -> ReadSummary {
        ReadSummary { skipped: self.skipped, ..self.ctx.read_summary() }
    }

    /// Reads one query to its end. False: the run was cancelled.
    async fn part(&mut self, copy: &mut CopyOut<'_>, part: Part) -> Result<bool, ConnectorError> {
        loop {
            let ctx = self.ctx;
            let mut stopped = Stopped::No;
            let rows_max = self.batch_rows_max();
            let event = tokio::select! {
                biased;
                () = ctx.cancelled() => None,
                event = copy.next(|row| self.take(row, rows_max, &mut stopped)) => Some(event?),
            };
            let Some(event) = event else {
                self.flush(part).await?;
                if self.moved && self.may_cut_anywhere() {
                    self.checkpoint().await?;
                }
                return Ok(false);
            };
            match event {
                CopyEvent::End => {
                    self.flush(part).await?;
                    return Ok(true);
                }
                CopyEvent::Oversized { bytes, column, column_bytes } => {
                    let refusal = Refusal::oversized(
                        self.relation,
                        self.plan,
                        self.stream,
                        bytes,
                        column,
                        column_bytes,
                    );
                    self.refuse(refusal).await?;
                }
                CopyEvent::Rows => match stopped {
                    Stopped::No if self.decoder.rows() > 0 && self.interval_is_over() => {
                        if self.may_cut_anywhere() {
                            self.flush(part).await?;
                            self.checkpoint_if_due().await?;
                        } else if self.seeking.is_none() {
                            self.seek_from_next = true;
                        }
                    }
                    Stopped::No => {}
                    Stopped::Full => {
                        self.flush(part).await?;
                        self.checkpoint_if_due().await?;
                    }
                    Stopped::Boundary => {
                        self.flush(part).await?;
                        self.checkpoint().await?;
                    }
                    Stopped::Refused(refusal) => self.refuse(refusal).await?,
                },
            }
        }
    }

    async fn refuse(&mut self, refusal: Refusal) -> Result<(), ConnectorError> {
        refusal.settle(self.ctx, self.relation, self.plan, self.stream.policies.on_data_error).await?;
        self.skipped += 1;
        Ok(())
    }

    /// Takes one row. Hot.
    #[inline]
    fn take(&mut self, row: &[u8], rows_max: usize, stopped: &mut Stopped) -> Take {
        if let Some(seeking) = &self.seeking
            && self.is_boundary(seeking, row)
        {
            self.seeking = None;
            *stopped = Stopped::Boundary;
            return Take::Refused;
        }
        if self.decoder.rows() > 0 && self.decoder.bytes() + row.len() as u64 > self.batch_bytes_max {
            *stopped = Stopped::Full;
            return Take::Refused;
        }
        let bytes = match self.decoder.push(row) {
            Ok(bytes) => bytes,
            Err(error) => {
                *stopped = Stopped::Refused(self.refused_value(row, error));
                return Take::Enough;
            }
        };
        if bytes > self.stream.limits.max_record_bytes {
            self.decoder.pop(bytes);
            let refusal = Refusal::oversized_row(self.relation, self.plan, self.stream, row, bytes);
            *stopped = Stopped::Refused(refusal);
            return Take::Enough;
        }
        if self.decoder.bytes() > self.batch_bytes_max && self.decoder.rows() > 1 {
            self.decoder.pop(bytes);
            *stopped = Stopped::Full;
            return Take::Refused;
        }
        self.records += 1;
        if self.seek_from_next {
            self.seek_from_next = false;
            self.seek_behind(row);
        }
        if self.decoder.bytes() >= self.batch_bytes_target || self.decoder.rows() >= rows_max {
            self.note_cursor(row);
            *stopped = Stopped::Full;
            return Take::Enough;
        }
        Take::More
    }

    #[cold]
    fn refused_value(&self, row: &[u8], error: DecodeError) -> Refusal {
        Refusal::value(self.relation, self.plan, &self.stream.name, row, error)
    }

    /// Where the batch ends with `row` and a checkpoint will be due, looks for the end of its cursor's records.
    fn note_cursor(&mut self, row: &[u8]) {
        let rows = self.pending_rows + self.decoder.rows() as u64;
        let bytes = self.pending_bytes + self.decoder.bytes();
        if self.seeking.is_none() && self.is_due(rows, bytes) {
            self.seek_behind(row);
        }
    }

    fn seek_behind(&mut self, row: &[u8]) {
        if let Order::Cursor { cursor, ties, boundaries: Some(boundaries) } = &self.plan.order
            && boundaries.iter().any(|boundary| *boundary != Boundary::Unknown)
        {
            let places = std::iter::once(cursor).chain(ties);
            self.seeking = Some(places.map(|place| value_of(row, *place).to_vec()).collect());
        }
    }

    fn is_boundary(&self, before: &[Vec<u8>], row: &[u8]) -> bool {
        let Order::Cursor { cursor, ties, boundaries: Some(boundaries) } = &self.plan.order else {
            return false;
        };
        let places = std::iter::once(cursor).chain(ties);
        before
            .iter()
            .zip(places)
            .zip(boundaries)
            .any(|((before, place), boundary)| differ(*boundary, before, value_of(row, *place)))
    }

    /// Whether a checkpoint may stand between any two records.
    fn may_cut_anywhere(&self) -> bool {
        match &self.plan.order {
            Order::Unordered => false,
            Order::Key(_) => true,
            Order::Cursor { boundaries, .. } => boundaries.is_none(),
        }
    }

    fn batch_rows_max(&self) -> usize {
        if self.plan.order == Order::Unordered {
            return BATCH_ROWS_MAX;
        }
        let interval = self.stream.limits.checkpoint_interval_rows.saturating_sub(self.pending_rows);
        usize::try_from(interval).unwrap_or(BATCH_ROWS_MAX).clamp(1, BATCH_ROWS_MAX)
    }

    /// Emits what has been collected, and remembers the position behind it.
    async fn flush(&mut self, part: Part) -> Result<(), ConnectorError> {
        let rows = self.decoder.rows();
        if rows == 0 {
            return Ok(());
        }
        let bytes = self.decoder.bytes();
        let arrays = self.decoder.finish().map_err(|error| {
            let column =
                error.column.map_or("?", |place| self.plan.column(self.relation, place).name.as_str());
            let message = error.reason.message();
            ConnectorError::data(
                error.reason.code(),
                format!("stream `{}`, column `{column}`: a value {message}", self.stream.name),
            )
        })?;
        self.remember(part, &arrays, rows - 1)?;
        let emitted: Vec<ArrayRef> = arrays.into_iter().take(self.plan.emitted).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.plan.schema.clone(), emitted, &options)?;
        self.ctx.emit(&batch).await?;
        self.pending_rows += rows as u64;
        self.pending_bytes += bytes;
        Ok(())
    }

    fn remember(&mut self, part: Part, arrays: &[ArrayRef], row: usize) -> Result<(), ConnectorError> {
        match &self.plan.order {
            Order::Unordered => return Ok(()),
            Order::Key(key) => self.key = self.values(key, arrays, row)?,
            Order::Cursor { ties, .. } if part == Part::Nulls => {
                self.position.nulls = self.values(ties, arrays, row)?;
            }
            Order::Cursor { cursor, ties, .. } => {
                self.position.tie = self.values(ties, arrays, row)?;
                self.position.cursor = self.values(&[*cursor], arrays, row)?.pop();
                let timestamps = arrays[*cursor].as_primitive_opt::<TimestampMicrosecondType>();
                self.raw_cursor =
                    timestamps.filter(|array| array.is_valid(row)).map(|array| array.value(row));
            }
        }
        self.moved = true;
        Ok(())
    }

    fn values(&self, places: &[usize], arrays: &[ArrayRef], row: usize) -> Result<Values, ConnectorError> {
        let value = |place: &usize| {
            let column = self.plan.column(self.relation, *place);
            let text = value_text(arrays[*place].as_ref(), column.column_type.codec, row);
            text.map(|text| (column.name.clone(), text)).ok_or_else(|| {
                let message = format!(
                    "stream `{}`: `{}`, which orders it, has no value",
                    self.stream.name, column.name
                );
                ConnectorError::data("null_cursor", message)
            })
        };
        places.iter().map(value).collect()
    }

    fn interval_is_over(&self) -> bool {
        let interval = Duration::from_secs(self.stream.limits.checkpoint_interval_seconds.into());
        self.plan.order != Order::Unordered && self.last_checkpoint_at.elapsed() >= interval
    }

    fn is_due(&self, rows: u64, bytes: u64) -> bool {
        rows >= self.stream.limits.checkpoint_interval_rows
            || bytes >= self.stream.limits.checkpoint_interval_bytes
            || self.interval_is_over()
    }

    async fn checkpoint_if_due(&mut self) -> Result<(), ConnectorError> {
        if self.is_due(self.pending_rows, self.pending_bytes) && self.moved && self.may_cut_anywhere() {
            self.checkpoint().await?;
        }
        Ok(())
    }

    /// Behind the last record of all. One that was only the last for `max_records` may have equals behind it.
    async fn last_checkpoint(&mut self) -> Result<(), ConnectorError> {
        if self.moved && (self.may_cut_anywhere() || !self.cut_short) {
            self.checkpoint().await?;
        }
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<(), ConnectorError> {
        let (position, codec) = match &self.plan.order {
            Order::Unordered => return Ok(()),
            Order::Key(_) => (Position::Key(self.key.clone()), None),
            Order::Cursor { cursor, .. } => {
                let codec: Codec = self.plan.column(self.relation, *cursor).column_type.codec;
                (Position::Cursor(self.position.clone()), Some(codec))
            }
        };
        self.ctx.checkpoint(position.to_cursor(codec, self.raw_cursor)).await?;
        self.pending_rows = 0;
        self.pending_bytes = 0;
        self.last_checkpoint_at = Instant::now();
        self.moved = false;
        Ok(())
    }
}

/// The bytes of one value of a row; none for NULL and for what is not there.
fn value_of(row: &[u8], place: usize) -> &[u8] {
    let mut rest = row.get(2..).unwrap_or_default();
    for _ in 0..place {
        let length = rest.first_chunk::<4>().map_or(0, |length| i32::from_be_bytes(*length));
        rest = rest.get(4 + usize::try_from(length).unwrap_or(0)..).unwrap_or_default();
    }
    let length = rest.first_chunk::<4>().map_or(0, |length| i32::from_be_bytes(*length));
    rest.get(4..4 + usize::try_from(length).unwrap_or(0)).unwrap_or_default()
}

/// Whether two cursors are certainly different.
fn differ(boundary: Boundary, left: &[u8], right: &[u8]) -> bool {
    match boundary {
        Boundary::Bytes => left != right,
        // Digit count, weight and sign, then the display scale, then the digits.
        Boundary::Numeric => left.get(..6) != right.get(..6) || left.get(8..) != right.get(8..),
        Boundary::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_a_row() {
        let row = [0, 3, 0, 0, 0, 1, 7, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2, 8, 9];
        assert_eq!(value_of(&row, 0), [7]);
        assert!(value_of(&row, 1).is_empty());
        assert_eq!(value_of(&row, 2), [8, 9]);
        assert!(value_of(&row, 3).is_empty());
    }

    #[test]
    fn numerics_of_other_scale_are_no_boundary() {
        let one = [0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        let one_point_zero = [0, 1, 0, 0, 0, 0, 0, 1, 0, 1];
        let two = [0, 1, 0, 0, 0, 0, 0, 0, 0, 2];
        assert!(!differ(Boundary::Numeric, &one, &one_point_zero));
        assert!(differ(Boundary::Numeric, &one, &two));
        assert!(differ(Boundary::Bytes, &one, &one_point_zero));
        assert!(!differ(Boundary::Unknown, &one, &two));
    }
}
