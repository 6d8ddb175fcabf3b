//! Records that can't be read, under the stream's data-error policy: fail, skip, or hand to the dead letters what can
//! be said of them. Knows no SQL and no order.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema};
use rapidbyte_postgres::decode::{DecodeError, Decoder, largest_value};
use rapidbyte_postgres::types::Codec;
use rapidbyte_sdk::prelude::*;
use serde_json::json;

use crate::catalog::Relation;
use crate::plan::Plan;

/// Why a record was refused, and the record as far as it is known.
pub(crate) struct Refusal {
    error: ConnectorError,
    /// The row, and the columns whose values must be left out of a dead letter. None: it was never held.
    row: Option<(Vec<u8>, Vec<usize>)>,
}

impl Refusal {
    /// A value has no place in its Arrow type.
    pub(crate) fn value(
        relation: &Relation,
        plan: &Plan,
        stream: &str,
        row: &[u8],
        error: DecodeError,
    ) -> Self {
        let Some(place) = error.column else {
            let message = format!("stream `{stream}`: a row of the server's `COPY` is malformed");
            return Self { error: ConnectorError::internal("protocol_error", message), row: None };
        };
        let column = plan.column(relation, place);
        let reason = error.reason;
        let message = format!(
            "stream `{stream}`, column `{}` (`{}`): the value {}",
            column.name,
            column.column_type.type_name,
            reason.message()
        );
        let details =
            json!({ "stream": stream, "column": column.name, "type": column.column_type.type_name });
        Self {
            error: ConnectorError::data(reason.code(), message).with_details(details),
            row: Some((row.to_vec(), vec![place])),
        }
    }

    /// The record is above `max_record_bytes`.
    pub(crate) fn oversized_row(
        relation: &Relation,
        plan: &Plan,
        stream: &StreamContext,
        row: &[u8],
        bytes: u64,
    ) -> Self {
        let (place, value_bytes) = largest_value(row);
        Self {
            error: too_large(relation, plan, stream, bytes, place, value_bytes),
            row: Some((row.to_vec(), vec![place])),
        }
    }

    /// The same, of a record so large that it was never held.
    pub(crate) fn oversized(
        relation: &Relation,
        plan: &Plan,
        stream: &StreamContext,
        bytes: usize,
        place: usize,
        value_bytes: usize,
    ) -> Self {
        Self { error: too_large(relation, plan, stream, bytes as u64, place, value_bytes), row: None }
    }

    /// Applies the policy. Ok: go on with the next record.
    pub(crate) async fn settle(
        self,
        ctx: &Context,
        relation: &Relation,
        plan: &Plan,
        policy: DataErrorPolicy,
    ) -> Result<(), ConnectorError> {
        let error = match policy {
            // Only data can be passed over.
            _ if self.error.category != ErrorCategory::Data => return Err(self.error),
            DataErrorPolicy::Fail => return Err(self.error),
            DataErrorPolicy::Skip => {
                ctx.log().warn("record skipped", &[("reason", self.error.message.as_str().into())]);
                return Ok(());
            }
            DataErrorPolicy::Dlq => self.error,
        };
        let record = dead_letter(relation, plan, self.row)?;
        ctx.dead_letters(&record, vec![RecordError::new(0, error.code, error.message)]).await
    }
}

fn too_large(
    relation: &Relation,
    plan: &Plan,
    stream: &StreamContext,
    bytes: u64,
    place: usize,
    value_bytes: usize,
) -> ConnectorError {
    let columns = plan.columns.get(place).and_then(|index| relation.columns.get(*index));
    let column = columns.map_or("?", |column| column.name.as_str());
    let bytes_max = stream.limits.max_record_bytes;
    ConnectorError::data(
        "record_too_large",
        format!(
            "stream `{}`: a record has {bytes} bytes, of them {value_bytes} in column `{column}`; \
             `max_record_bytes` is {bytes_max}: raise it, or leave the column out of `columns`",
            stream.name
        ),
    )
    .with_details(json!({
        "stream": stream.name,
        "column": column,
        "record_bytes": bytes,
        "value_bytes": value_bytes,
        "max_record_bytes": bytes_max,
    }))
}

/// The record with every value that can't be carried left out.
fn dead_letter(
    relation: &Relation,
    plan: &Plan,
    row: Option<(Vec<u8>, Vec<usize>)>,
) -> Result<RecordBatch, ConnectorError> {
    let codecs: Vec<Codec> =
        plan.columns.iter().map(|index| relation.columns[*index].column_type.codec).collect();
    let (row, mut left_out) = row.unwrap_or_else(|| (Vec::new(), (0..codecs.len()).collect()));
    let mut decoder = Decoder::new(codecs.iter().copied());
    let arrays = loop {
        let taken = decoder.push(&without(&row, codecs.len(), &left_out)).and_then(|_| decoder.finish());
        match taken {
            Ok(arrays) => break arrays,
            Err(DecodeError { column: Some(place), .. }) if !left_out.contains(&place) => {
                left_out.push(place)
            }
            Err(_) => {
                return Err(ConnectorError::internal(
                    "protocol_error",
                    "a row of the server's `COPY` is malformed",
                ));
            }
        }
    };
    let fields: Vec<Field> =
        plan.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let emitted = arrays.into_iter().take(plan.emitted).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), emitted, &options)?)
}

/// A row of `count` columns in which those `left_out` are NULL.
fn without(row: &[u8], count: usize, left_out: &[usize]) -> Vec<u8> {
    let mut result = Vec::with_capacity(row.len());
    result.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
    let mut rest = row.get(2..).unwrap_or_default();
    for place in 0..count {
        let length = rest.first_chunk::<4>().map_or(-1, |length| i32::from_be_bytes(*length));
        let field_bytes = 4 + usize::try_from(length).unwrap_or(0);
        let (field, after) = rest.split_at(field_bytes.min(rest.len()));
        rest = after;
        if length < 0 || left_out.contains(&place) {
            result.extend_from_slice(&(-1_i32).to_be_bytes());
        } else {
            result.extend_from_slice(field);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn values_are_left_out_of_a_row() {
        let row = [0, 3, 0, 0, 0, 1, 7, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2, 8, 9];
        assert_eq!(without(&row, 3, &[]), row);
        let shorter = [0, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2, 8, 9];
        assert_eq!(without(&row, 3, &[0]), shorter);
        assert_eq!(without(&[], 2, &[0, 1]), [&[0, 2][..], &[0xff; 8]].concat());
    }
}
