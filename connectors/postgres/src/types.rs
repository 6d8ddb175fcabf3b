//! PostgreSQL types ↔ Arrow fields. A field made here says in its metadata which column it came from, so that a
//! destination can make the very same column again. Knows no SQL beyond type names.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};
use rapidbyte_sdk::prelude::*;
use serde::Deserialize;

use crate::limits::DECIMAL128_PRECISION_MAX;

/// The column's type as `format_type()` writes it, modifiers included: `numeric(12,3)`.
pub const TYPE_KEY: &str = "postgres.type";
/// [`Form`]: how values stand in the array.
pub const FORM_KEY: &str = "postgres.form";
/// For enums: JSON array of the labels, in order.
pub const ENUM_LABELS_KEY: &str = "postgres.enum_labels";
/// For enums: the type's name, unquoted and without schema.
pub const ENUM_NAME_KEY: &str = "postgres.enum_name";

/// Arrow's keys for extension types.
pub const EXTENSION_NAME_KEY: &str = "ARROW:extension:name";
pub const EXTENSION_METADATA_KEY: &str = "ARROW:extension:metadata";
pub const UUID_EXTENSION: &str = "arrow.uuid";
pub const JSON_EXTENSION: &str = "arrow.json";
/// `Utf8` that holds a decimal number of any precision, or `NaN`, `Infinity`, `-Infinity`.
pub const NUMERIC_EXTENSION: &str = "rapidbyte.numeric";

/// Days and microseconds from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
pub const EPOCH_DAYS: i32 = 10_957;
pub const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// How `numeric` is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ConfigSchema)]
#[serde(rename_all = "snake_case")]
pub enum NumericMode {
    /// As exact text, whatever the precision.
    #[default]
    Text,
    /// As `Decimal128` where the column declares a precision up to 38; text for other columns.
    Decimal,
}

/// How a value stands in an Arrow array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In the Arrow type that means the same, made from PostgreSQL's binary form.
    Native,
    /// As PostgreSQL writes it: `Utf8` of `column::text`.
    Text,
}

impl Form {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Text => "text",
        }
    }
}

/// How one column's values are translated between PostgreSQL's binary form and Arrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    Bool,
    Int16,
    Int32,
    Int64,
    /// `oid`.
    UInt32,
    Float32,
    Float64,
    /// `text`, `varchar`, `bpchar`, `name`, `xml`, enums, and everything in its text form.
    Utf8,
    /// The same bytes as text, marked as JSON.
    Json,
    /// Text behind a version byte.
    Jsonb,
    Binary,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    /// Binary `numeric` ↔ exact text.
    NumericText,
    /// Binary `numeric` ↔ `Decimal128(precision, scale)`.
    NumericDecimal {
        precision: u8,
        scale: i8,
    },
    /// Binary `int8` of the smallest unit of currency.
    Money,
}

/// Type oids as `pg_type.dat` fixes them for ever.
pub mod oid {
    pub const BOOL: u32 = 16;
    pub const BYTEA: u32 = 17;
    pub const NAME: u32 = 19;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT4: u32 = 23;
    pub const TEXT: u32 = 25;
    pub const OID: u32 = 26;
    pub const JSON: u32 = 114;
    pub const XML: u32 = 142;
    pub const FLOAT4: u32 = 700;
    pub const FLOAT8: u32 = 701;
    pub const MONEY: u32 = 790;
    pub const BPCHAR: u32 = 1042;
    pub const VARCHAR: u32 = 1043;
    pub const DATE: u32 = 1082;
    pub const TIME: u32 = 1083;
    pub const TIMESTAMP: u32 = 1114;
    pub const TIMESTAMPTZ: u32 = 1184;
    pub const INTERVAL: u32 = 1186;
    pub const NUMERIC: u32 = 1700;
    pub const UUID: u32 = 2950;
    pub const JSONB: u32 = 3802;
}

impl Codec {
    /// The native codec of a built-in type. None: the type goes by its text form (enums aside, which are
    /// [`Codec::Utf8`] natively).
    #[must_use]
    pub fn native(type_oid: u32, type_modifier: i32, numeric: NumericMode) -> Option<Self> {
        Some(match type_oid {
            oid::BOOL => Self::Bool,
            oid::INT2 => Self::Int16,
            oid::INT4 => Self::Int32,
            oid::INT8 => Self::Int64,
            oid::OID => Self::UInt32,
            oid::FLOAT4 => Self::Float32,
            oid::FLOAT8 => Self::Float64,
            oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::XML => Self::Utf8,
            oid::JSON => Self::Json,
            oid::JSONB => Self::Jsonb,
            oid::BYTEA => Self::Binary,
            oid::DATE => Self::Date,
            oid::TIME => Self::Time,
            oid::TIMESTAMP => Self::Timestamp,
            oid::TIMESTAMPTZ => Self::TimestampTz,
            oid::INTERVAL => Self::Interval,
            oid::UUID => Self::Uuid,
            oid::MONEY => Self::Money,
            oid::NUMERIC => match (numeric, numeric_modifier(type_modifier)) {
                (NumericMode::Decimal, Some((precision, scale))) => {
                    decimal(precision, scale).unwrap_or(Self::NumericText)
                }
                _ => Self::NumericText,
            },
            _ => return None,
        })
    }

    /// The Arrow type of the column.
    #[must_use]
    pub fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 | Self::Money => DataType::Int64,
            Self::UInt32 => DataType::UInt32,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Utf8 | Self::Json | Self::Jsonb | Self::NumericText => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::NumericDecimal { precision, scale } => DataType::Decimal128(precision, scale),
        }
    }

    /// The extension type that says what the Arrow type alone can't.
    #[must_use]
    pub fn extension(self) -> Option<&'static str> {
        match self {
            Self::Uuid => Some(UUID_EXTENSION),
            Self::Json | Self::Jsonb => Some(JSON_EXTENSION),
            Self::NumericText => Some(NUMERIC_EXTENSION),
            _ => None,
        }
    }

    /// Bytes of one value's fixed part in Arrow: the value itself, or its offset.
    #[must_use]
    pub fn fixed_bytes(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Int16 => 2,
            Self::Int32
            | Self::UInt32
            | Self::Float32
            | Self::Date
            | Self::Utf8
            | Self::Json
            | Self::Jsonb
            | Self::NumericText
            | Self::Binary => 4,
            Self::Int64 | Self::Money | Self::Float64 | Self::Time | Self::Timestamp | Self::TimestampTz => 8,
            Self::Interval | Self::Uuid | Self::NumericDecimal { .. } => 16,
        }
    }
}

/// Precision and scale out of a `numeric` column's type modifier. None: unconstrained.
#[must_use]
pub fn numeric_modifier(type_modifier: i32) -> Option<(u16, i16)> {
    let packed = u32::try_from(type_modifier.checked_sub(4)?).ok()?;
    let precision = u16::try_from(packed >> 16).ok()?;
    // Eleven bits, signed since PostgreSQL 15.
    let scale = i16::try_from(packed & 0x7ff).ok()?;
    Some((precision, (scale ^ 1024) - 1024))
}

/// `Decimal128` where it holds the column: PostgreSQL's scale may be negative or beyond the precision, Arrow's scale
/// is bounded by 38 too.
fn decimal(precision: u16, scale: i16) -> Option<Codec> {
    let precision =
        u8::try_from(precision).ok().filter(|precision| *precision <= DECIMAL128_PRECISION_MAX)?;
    let scale = i8::try_from(scale).ok().filter(|scale| (0..=precision.cast_signed()).contains(scale))?;
    Some(Codec::NumericDecimal { precision, scale })
}

/// A PostgreSQL column as an Arrow field knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnType {
    /// `format_type()`: `timestamp(3) with time zone`.
    pub type_name: String,
    pub form: Form,
    pub codec: Codec,
    /// Set for enums.
    pub enumeration: Option<Enumeration>,
}

/// A user's enum type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enumeration {
    pub name: String,
    pub labels: Vec<String>,
}

impl ColumnType {
    /// The Arrow field of a column of this type.
    #[must_use]
    pub fn field(&self, name: &str, nullable: bool) -> Field {
        let mut metadata = HashMap::with_capacity(5);
        metadata.insert(TYPE_KEY.to_owned(), self.type_name.clone());
        metadata.insert(FORM_KEY.to_owned(), self.form.as_str().to_owned());
        if let Some(extension) = self.codec.extension() {
            metadata.insert(EXTENSION_NAME_KEY.to_owned(), extension.to_owned());
        }
        if let Some(enumeration) = &self.enumeration {
            let labels = serde_json::Value::from(enumeration.labels.clone());
            metadata.insert(ENUM_NAME_KEY.to_owned(), enumeration.name.clone());
            metadata.insert(ENUM_LABELS_KEY.to_owned(), labels.to_string());
        }
        Field::new(name, self.codec.data_type(), nullable).with_metadata(metadata)
    }

    /// What a field made by [`ColumnType::field`] says. None: the field did not come from PostgreSQL, or something on
    /// the way has changed its Arrow type, so that the metadata no longer describes it.
    #[must_use]
    pub fn of_field(field: &Field) -> Option<Self> {
        let metadata = field.metadata();
        let type_name = metadata.get(TYPE_KEY)?.clone();
        let enumeration = match (metadata.get(ENUM_NAME_KEY), metadata.get(ENUM_LABELS_KEY)) {
            (Some(name), Some(labels)) => {
                Some(Enumeration { name: name.clone(), labels: serde_json::from_str(labels).ok()? })
            }
            _ => None,
        };
        let form = match metadata.get(FORM_KEY).map(String::as_str) {
            Some("text") => Form::Text,
            _ => Form::Native,
        };
        let codec = if form == Form::Text || enumeration.is_some() {
            Codec::Utf8
        } else {
            codec_of_name(&type_name, field.data_type())?
        };
        (codec.data_type() == *field.data_type()).then_some(Self { type_name, form, codec, enumeration })
    }
}

/// The native codec of a type by its `format_type()` name.
fn codec_of_name(type_name: &str, data_type: &DataType) -> Option<Codec> {
    // Modifiers stand in the middle of `timestamp(3) with time zone`.
    let base = match (type_name.find('('), type_name.find(')')) {
        (Some(open), Some(close)) if open < close => {
            format!("{}{}", &type_name[..open], &type_name[close + 1..])
        }
        _ => type_name.to_owned(),
    };
    // `interval day to second` and the like.
    let base = if base.starts_with("interval") { "interval" } else { base.as_str() };
    Some(match base {
        "boolean" => Codec::Bool,
        "smallint" => Codec::Int16,
        "integer" => Codec::Int32,
        "bigint" => Codec::Int64,
        "oid" => Codec::UInt32,
        "real" => Codec::Float32,
        "double precision" => Codec::Float64,
        "text" | "character varying" | "character" | "bpchar" | "name" | "xml" => Codec::Utf8,
        "json" => Codec::Json,
        "jsonb" => Codec::Jsonb,
        "bytea" => Codec::Binary,
        "date" => Codec::Date,
        "time without time zone" => Codec::Time,
        "timestamp without time zone" => Codec::Timestamp,
        "timestamp with time zone" => Codec::TimestampTz,
        "interval" => Codec::Interval,
        "uuid" => Codec::Uuid,
        "money" => Codec::Money,
        "numeric" => match data_type {
            DataType::Decimal128(precision, scale) => {
                Codec::NumericDecimal { precision: *precision, scale: *scale }
            }
            _ => Codec::NumericText,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_modifiers_are_unpacked() {
        assert_eq!(numeric_modifier(-1), None);
        assert_eq!(numeric_modifier(4 + (12 << 16) + 3), Some((12, 3)));
        assert_eq!(numeric_modifier(4 + (3 << 16) + (2048 - 2)), Some((3, -2)));
        assert_eq!(numeric_modifier(4 + (1000 << 16) + 1000), Some((1000, 1000)));
    }

    #[test]
    fn decimals_hold_only_what_fits() {
        let codec = |precision: i32, scale: i32| {
            Codec::native(oid::NUMERIC, 4 + (precision << 16) + scale, NumericMode::Decimal)
        };
        assert_eq!(codec(12, 3), Some(Codec::NumericDecimal { precision: 12, scale: 3 }));
        assert_eq!(codec(39, 3), Some(Codec::NumericText));
        assert_eq!(codec(3, 5), Some(Codec::NumericText));
        assert_eq!(codec(3, 2046), Some(Codec::NumericText));
        assert_eq!(Codec::native(oid::NUMERIC, -1, NumericMode::Decimal), Some(Codec::NumericText));
    }

    #[test]
    fn fields_say_where_they_came_from() {
        for (type_name, codec) in [
            ("timestamp(3) with time zone", Codec::TimestampTz),
            ("timestamp without time zone", Codec::Timestamp),
            ("time(0) without time zone", Codec::Time),
            ("character varying(20)", Codec::Utf8),
            ("character(3)", Codec::Utf8),
            ("numeric(12,3)", Codec::NumericText),
            ("numeric(12,3)", Codec::NumericDecimal { precision: 12, scale: 3 }),
            ("interval day to second(3)", Codec::Interval),
            ("interval(3)", Codec::Interval),
            ("jsonb", Codec::Jsonb),
            ("money", Codec::Money),
        ] {
            let column =
                ColumnType { type_name: type_name.to_owned(), form: Form::Native, codec, enumeration: None };
            assert_eq!(ColumnType::of_field(&column.field("x", true)), Some(column), "{type_name}");
        }
        let mood = ColumnType {
            type_name: "sales.\"Mood\"".to_owned(),
            form: Form::Native,
            codec: Codec::Utf8,
            enumeration: Some(Enumeration { name: "Mood".to_owned(), labels: vec!["so,so".to_owned()] }),
        };
        assert_eq!(ColumnType::of_field(&mood.field("x", false)), Some(mood.clone()));
        let changed = mood.field("x", false).with_data_type(DataType::Int64);
        assert_eq!(ColumnType::of_field(&changed), None);
        assert_eq!(ColumnType::of_field(&Field::new("x", DataType::Int64, true)), None);
    }
}
