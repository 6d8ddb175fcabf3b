//! Content: rows as texts that are equal exactly when the values are, whatever type a reader gives them back in. The suite
//! judges by these, never by counts.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_cast::parse::string_to_timestamp_nanos;
use arrow_schema::{DataType, Schema, TimeUnit};
use rapidbyte_host::core::{ConnectorError, Frame};

use crate::limits::ROWS_SHOWN_MAX;

/// One record: its columns by name; none is NULL.
pub type Row = BTreeMap<String, Option<String>>;

/// The rows of frames, in order. Decoding validates them.
pub fn rows_of<'f>(frames: impl IntoIterator<Item = &'f Frame>) -> Result<Vec<Row>, ConnectorError> {
    let mut rows = Vec::new();
    for frame in frames {
        rows.extend(rows_of_batch(&frame.decode()?)?);
    }
    Ok(rows)
}

/// The rows of a batch, in order.
pub fn rows_of_batch(batch: &RecordBatch) -> Result<Vec<Row>, ConnectorError> {
    let mut rows = vec![Row::new(); batch.num_rows()];
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let cells = cells_of(column)?;
        for (row, cell) in rows.iter_mut().zip(cells) {
            row.insert(field.name().clone(), cell);
        }
    }
    Ok(rows)
}

fn cells_of(column: &dyn Array) -> Result<Vec<Option<String>>, ConnectorError> {
    if let DataType::Timestamp(unit, _) = column.data_type() {
        return Ok(instants_of(column, *unit));
    }
    let unreadable =
        |error: arrow_schema::ArrowError| ConnectorError::frame("values_unreadable", error.to_string());
    let options = FormatOptions::default().with_display_error(false);
    let formatter = ArrayFormatter::try_new(column, &options).map_err(unreadable)?;
    (0..column.len())
        .map(|index| {
            if column.is_null(index) || *column.data_type() == DataType::Null {
                return Ok(None);
            }
            let text = formatter.value(index).try_to_string().map_err(unreadable)?;
            Ok(Some(canonical(&text, column.data_type())))
        })
        .collect()
}

fn instants_of(column: &dyn Array, unit: TimeUnit) -> Vec<Option<String>> {
    let value = |index: usize| -> i128 {
        let nanos = |value: i64, factor: i128| i128::from(value) * factor;
        match unit {
            TimeUnit::Second => {
                nanos(column.as_primitive::<TimestampSecondType>().value(index), 1_000_000_000)
            }
            TimeUnit::Millisecond => {
                nanos(column.as_primitive::<TimestampMillisecondType>().value(index), 1_000_000)
            }
            TimeUnit::Microsecond => {
                nanos(column.as_primitive::<TimestampMicrosecondType>().value(index), 1_000)
            }
            TimeUnit::Nanosecond => nanos(column.as_primitive::<TimestampNanosecondType>().value(index), 1),
        }
    };
    (0..column.len()).map(|index| (!column.is_null(index)).then(|| format!("@{}", value(index)))).collect()
}

/// A value's text as it would be were the column of this type: what `1.50`, `1.5` and `01.5` are to a number.
pub fn canonical(text: &str, kind: &DataType) -> String {
    let parsed = match kind {
        DataType::Timestamp(..) if !text.starts_with('@') => {
            string_to_timestamp_nanos(text).ok().map(|nanos| format!("@{nanos}"))
        }
        DataType::Float16 | DataType::Float32 => text.parse::<f32>().ok().map(|value| value.to_string()),
        DataType::Float64 => text.parse::<f64>().ok().map(|value| value.to_string()),
        DataType::Decimal128(..) | DataType::Decimal256(..) if text.contains('.') => {
            Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
        }
        kind if kind.is_integer() => text.parse::<i128>().ok().map(|value| value.to_string()),
        DataType::Boolean => match text {
            "t" | "true" | "1" => Some("true".to_owned()),
            "f" | "false" | "0" => Some("false".to_owned()),
            _ => None,
        },
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => {
            Some(text.strip_prefix("\\x").unwrap_or(text).to_ascii_lowercase())
        }
        _ => None,
    };
    parsed.unwrap_or_else(|| text.to_owned())
}

/// Rows as read back, with each value's text as the type that was written would have it. Columns that were not written
/// (a destination's own) are left out.
pub fn conform(rows: Vec<Row>, schema: &Schema) -> Vec<Row> {
    let kinds: BTreeMap<&str, &DataType> =
        schema.fields().iter().map(|field| (field.name().as_str(), field.data_type())).collect();
    rows.into_iter()
        .map(|row| {
            row.into_iter()
                .filter_map(|(name, cell)| {
                    let kind = kinds.get(name.as_str())?;
                    Some((name, cell.map(|text| canonical(&text, kind))))
                })
                .collect()
        })
        .collect()
}

/// Where two sets of rows differ, whatever their order; none if they are the same rows as often.
pub fn difference(expected: &[Row], found: &[Row]) -> Option<String> {
    let mut counts: BTreeMap<&Row, i64> = BTreeMap::new();
    for row in expected {
        *counts.entry(row).or_default() += 1;
    }
    for row in found {
        *counts.entry(row).or_default() -= 1;
    }
    let list = |wanted: &dyn Fn(i64) -> bool, what: &str| {
        let rows: Vec<_> = counts.iter().filter(|(_, count)| wanted(**count)).collect();
        let shown: Vec<String> = rows.iter().take(ROWS_SHOWN_MAX).map(|(row, _)| show(row)).collect();
        let more = rows.len().saturating_sub(ROWS_SHOWN_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!rows.is_empty()).then(|| format!("{what}: {}{more}", shown.join(", ")))
    };
    let missing = list(&|count| count > 0, "missing");
    let surplus = list(&|count| count < 0, "too many");
    let parts: Vec<String> = [missing, surplus].into_iter().flatten().collect();
    (!parts.is_empty())
        .then(|| format!("{} rows expected, {} found; {}", expected.len(), found.len(), parts.join("; ")))
}

/// A row for a message.
pub fn show(row: &Row) -> String {
    let cells: Vec<String> = row
        .iter()
        .map(|(name, cell)| {
            format!("{name}: {}", cell.as_deref().map_or("NULL".to_owned(), |text| format!("`{text}`")))
        })
        .collect();
    let text = format!("({})", cells.join(", "));
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str) -> Row {
        Row::from([("id".to_owned(), Some(id.to_owned()))])
    }

    #[test]
    fn a_row_that_is_missing_doubled_or_changed_is_a_difference() {
        let expected = [row("1"), row("2")];
        assert_eq!(difference(&expected, &[row("2"), row("1")]), None);
        assert!(difference(&expected, &[row("1")]).is_some_and(|text| text.contains("missing: (id: `2`)")));
        assert!(
            difference(&expected, &[row("1"), row("2"), row("2")])
                .is_some_and(|text| text.contains("too many"))
        );
        assert!(difference(&expected, &[row("1"), row("3")]).is_some(), "equal counts are not equal content");
    }

    #[test]
    fn values_are_compared_as_the_type_that_was_written() {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        assert_eq!(canonical("2024-02-29T13:05:09.25", &micros), "@1709211909250000000");
        assert_eq!(canonical("2024-02-29 13:05:09.250Z", &micros), "@1709211909250000000");
        assert_eq!(canonical("1.50", &DataType::Decimal128(12, 2)), "1.5");
        assert_eq!(canonical("1e2", &DataType::Float64), "100");
        assert_eq!(canonical("\\xDEAD", &DataType::Binary), "dead");
        assert_eq!(canonical("007", &DataType::Utf8), "007");
    }
}
