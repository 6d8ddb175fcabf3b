//! The functions that have a name: over texts and numbers, NULL in, NULL out.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, StringArray};
use arrow_schema::{ArrowError, DataType};

/// What a function wants, in words, and what it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Lower,
    Upper,
    Trim,
    TrimStart,
    TrimEnd,
    Length,
    Substring,
    Left,
    Right,
    Replace,
    Concat,
    /// `||`: like `concat`, and NULL where either is.
    Join,
    StartsWith,
    Abs,
    Round,
    Floor,
    Ceil,
}

pub const NAMES: &[&str] = &[
    "lower",
    "upper",
    "trim",
    "btrim",
    "ltrim",
    "rtrim",
    "length",
    "char_length",
    "character_length",
    "substr",
    "substring",
    "left",
    "right",
    "replace",
    "concat",
    "starts_with",
    "abs",
    "round",
    "floor",
    "ceil",
    "coalesce",
    "nullif",
];

impl Function {
    pub fn named(name: &str) -> Option<Function> {
        Some(match name {
            "lower" => Function::Lower,
            "upper" => Function::Upper,
            "trim" | "btrim" => Function::Trim,
            "ltrim" => Function::TrimStart,
            "rtrim" => Function::TrimEnd,
            "length" | "char_length" | "character_length" => Function::Length,
            "substr" | "substring" => Function::Substring,
            "left" => Function::Left,
            "right" => Function::Right,
            "replace" => Function::Replace,
            "concat" => Function::Concat,
            "starts_with" => Function::StartsWith,
            "abs" => Function::Abs,
            "round" => Function::Round,
            "floor" => Function::Floor,
            "ceil" => Function::Ceil,
            _ => return None,
        })
    }

    /// The types of its arguments: those it needs, and those it may have behind them. `concat` has any number of the last.
    pub fn arguments(self) -> (&'static [DataType], &'static [DataType]) {
        const TEXT: DataType = DataType::Utf8;
        const NUMBER: DataType = DataType::Int64;
        match self {
            Function::Lower | Function::Upper | Function::Length => (&[TEXT], &[]),
            Function::Trim | Function::TrimStart | Function::TrimEnd => (&[TEXT], &[TEXT]),
            Function::Substring => (&[TEXT, NUMBER], &[NUMBER]),
            Function::Left | Function::Right => (&[TEXT, NUMBER], &[]),
            Function::Replace => (&[TEXT, TEXT, TEXT], &[]),
            Function::Concat => (&[TEXT], &[TEXT]),
            Function::StartsWith | Function::Join => (&[TEXT, TEXT], &[]),
            Function::Abs => (&[NUMBER], &[]),
            Function::Round | Function::Floor | Function::Ceil => (&[DataType::Float64], &[]),
        }
    }

    pub fn result(self) -> DataType {
        match self {
            Function::Length | Function::Abs => DataType::Int64,
            Function::StartsWith => DataType::Boolean,
            Function::Round | Function::Floor | Function::Ceil => DataType::Float64,
            _ => DataType::Utf8,
        }
    }

    /// Whether NULL comes out where any argument is NULL; `concat` leaves NULL out.
    pub fn is_strict(self) -> bool {
        self != Function::Concat
    }

    pub fn call(self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef, ArrowError> {
        let text = |at: usize| arguments[at].as_string::<i32>();
        let number = |at: usize| arguments[at].as_primitive::<Int64Type>();
        let each = |change: fn(&str) -> String| -> ArrayRef {
            Arc::new(text(0).iter().map(|it| it.map(change)).collect::<StringArray>())
        };
        let float = |change: fn(f64) -> f64| -> ArrayRef {
            let values = arguments[0].as_primitive::<Float64Type>();
            Arc::new(values.iter().map(|it| it.map(change)).collect::<Float64Array>())
        };
        Ok(match self {
            Function::Lower => each(str::to_lowercase),
            Function::Upper => each(str::to_uppercase),
            Function::Trim | Function::TrimStart | Function::TrimEnd => {
                let chars = (arguments.len() > 1).then(|| text(1));
                let trimmed = (0..rows).map(|row| {
                    let chars = match chars {
                        Some(chars) if chars.is_null(row) => return None,
                        Some(chars) => chars.value(row),
                        None => " ",
                    };
                    let text = text(0);
                    text.is_valid(row).then(|| self.trim(text.value(row), chars))
                });
                Arc::new(trimmed.collect::<StringArray>())
            }
            Function::Length => {
                let lengths = text(0).iter().map(|it| it.map(|it| it.chars().count() as i64));
                Arc::new(lengths.collect::<Int64Array>())
            }
            Function::Substring => {
                let count = (arguments.len() > 2).then(|| number(2));
                let mut out = StringBuilder::with_capacity(rows, 0);
                for row in 0..rows {
                    let known = arguments.iter().all(|it| it.is_valid(row));
                    if !known {
                        out.append_null();
                        continue;
                    }
                    let count = count.map(|it| it.value(row));
                    out.append_value(substring(text(0).value(row), number(1).value(row), count)?);
                }
                Arc::new(out.finish())
            }
            Function::Left | Function::Right => {
                let parts = text(0).iter().zip(number(1)).map(|(text, count)| {
                    let (text, count) = (text?, count?);
                    Some(if self == Function::Left { left(text, count) } else { right(text, count) })
                });
                Arc::new(parts.collect::<StringArray>())
            }
            Function::Replace => {
                let replaced = text(0).iter().zip(text(1)).zip(text(2)).map(|((text, from), to)| {
                    let (text, from, to) = (text?, from?, to?);
                    Some(if from.is_empty() { text.to_owned() } else { text.replace(from, to) })
                });
                Arc::new(replaced.collect::<StringArray>())
            }
            Function::Concat => {
                let joined = (0..rows).map(|row| {
                    let parts = (0..arguments.len()).map(text).filter(|it| it.is_valid(row));
                    Some(parts.map(|it| it.value(row)).collect::<String>())
                });
                Arc::new(joined.collect::<StringArray>())
            }
            Function::Join => {
                let joined = text(0).iter().zip(text(1)).map(|(left, right)| Some([left?, right?].concat()));
                Arc::new(joined.collect::<StringArray>())
            }
            Function::StartsWith => Arc::new(arrow_string::like::starts_with(text(0), text(1))?),
            Function::Abs => {
                let values = number(0).iter().map(|it| match it {
                    Some(it) => it.checked_abs().map(Some).ok_or(it),
                    None => Ok(None),
                });
                let values = values.collect::<Result<Int64Array, i64>>();
                Arc::new(
                    values.map_err(|it| {
                        ArrowError::ArithmeticOverflow(format!("the absolute value of {it}"))
                    })?,
                )
            }
            Function::Round => float(f64::round),
            Function::Floor => float(f64::floor),
            Function::Ceil => float(f64::ceil),
        })
    }

    fn trim(self, text: &str, chars: &str) -> String {
        let mut text = text;
        if self != Function::TrimEnd {
            text = text.trim_start_matches(|it| chars.contains(it));
        }
        if self != Function::TrimStart {
            text = text.trim_end_matches(|it| chars.contains(it));
        }
        text.to_owned()
    }
}

/// Characters from a place on, the first is 1, as PostgreSQL counts: places before the first are there, and empty.
fn substring(text: &str, from: i64, count: Option<i64>) -> Result<&str, ArrowError> {
    let end = match count {
        Some(count) if count < 0 => {
            return Err(ArrowError::ComputeError("the length of a substring cannot be negative".to_owned()));
        }
        Some(count) => from.saturating_add(count),
        None => i64::MAX,
    };
    let at = |place: i64| {
        let before = usize::try_from(place.saturating_sub(1).max(0)).unwrap_or(usize::MAX);
        text.char_indices().nth(before).map_or(text.len(), |(at, _)| at)
    };
    let (start, end) = (at(from), at(end));
    Ok(if start < end { &text[start..end] } else { "" })
}

/// The first characters; with a negative count all but the last.
fn left(text: &str, count: i64) -> &str {
    let length = text.chars().count() as i64;
    let kept = if count < 0 { length.saturating_add(count) } else { count };
    substring(text, 1, Some(kept.max(0))).unwrap_or_default()
}

/// The last characters; with a negative count all but the first.
fn right(text: &str, count: i64) -> &str {
    let length = text.chars().count() as i64;
    let skipped = if count < 0 { count.saturating_neg() } else { length.saturating_sub(count) };
    substring(text, skipped.max(0).saturating_add(1), None).unwrap_or_default()
}
