//! What a stream's column becomes in PostgreSQL: its type and how its values travel. A column that came from PostgreSQL
//! gets the very type it had; any other gets the narrowest type that holds every value of its Arrow type. Looks at the
//! stream only; the database is compared elsewhere.

use std::collections::HashSet;

use arrow_schema::{DataType, Field, Schema};
use rapidbyte_postgres::encode::{BinaryForm, ColumnSpec};
use rapidbyte_postgres::types::{
    Codec, ColumnType, EXTENSION_NAME_KEY, Enumeration, Form, JSON_EXTENSION, NUMERIC_EXTENSION,
    UUID_EXTENSION,
};
use rapidbyte_sdk::prelude::*;

use crate::limits::COLUMNS_MAX;
use crate::names;
use crate::type_name::TypeName;

/// One column of the target table.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    /// The type of the column, once the table was looked at: the table's own.
    pub type_name: TypeName,
    /// Set for enums.
    pub enumeration: Option<Enumeration>,
    /// Values arrive in the text form of the stream's type, are copied as text and cast by the server.
    pub cast: bool,
    /// Set where the table's type is another kind than the stream's: the server converts.
    pub conversion: Option<Conversion>,
    /// How values are encoded.
    pub form: BinaryForm,
    /// NULL never comes, says the stream.
    pub not_null: bool,
    /// NULL is refused: the table has a key or NOT NULL here.
    pub required: bool,
    /// `COLLATE` clause of the table's column where it has one of its own.
    pub collation: Option<String>,
    infinities: bool,
}

/// How values of the stream's type become values of the table's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// Type that values are copied as.
    pub from: TypeName,
    /// SQL over the copied column; fails for a value that the table's type does not hold.
    pub sql: String,
    /// The same over `$1`, where a value that does not fit is to become NULL.
    pub or_null: Option<String>,
}

impl Column {
    /// Type of the column of the load table, and whether values are converted on their way from there.
    pub fn loaded_as(&self) -> (String, bool) {
        match &self.conversion {
            Some(conversion) => (conversion.from.to_string(), true),
            None if self.cast => ("text".to_owned(), true),
            None => (self.type_name.to_string(), false),
        }
    }

    /// Whether rows of this column are written in the very same way as of another.
    pub fn loads_like(&self, other: &Column) -> bool {
        self.name == other.name
            && self.spec() == other.spec()
            && self.cast == other.cast
            && self.conversion == other.conversion
    }

    pub fn spec(&self) -> ColumnSpec {
        ColumnSpec { form: self.form, required: self.required, infinities: self.infinities }
    }
}

/// The columns of a stream.
pub fn columns(stream: &str, schema: &Schema, target_schema: &str) -> Result<Vec<Column>, ConnectorError> {
    let refused = |code: &str, message: String| Err(ConnectorError::schema(code, message));
    if schema.fields().is_empty() {
        return refused(
            "no_columns",
            format!("stream `{stream}` has no columns, a table needs one to be copied into"),
        );
    }
    if schema.fields().len() > COLUMNS_MAX {
        return refused(
            "too_many_columns",
            format!(
                "stream `{stream}` has {} columns, this destination takes {COLUMNS_MAX}",
                schema.fields().len()
            ),
        );
    }
    let mut seen = HashSet::new();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let name = field.name();
        if let Some(fault) = names::fault(name) {
            return refused(
                "invalid_column_name",
                format!("stream `{stream}`: the column name `{name}` {fault}"),
            );
        }
        if !seen.insert(name.as_str()) {
            return refused("duplicate_column", format!("stream `{stream}` has two columns named `{name}`"));
        }
        columns
            .push(column(field, target_schema).map_err(|error| error.context(format!("stream `{stream}`")))?);
    }
    Ok(columns)
}

fn column(field: &Field, target_schema: &str) -> Result<Column, ConnectorError> {
    let mut column = Column {
        name: field.name().clone(),
        type_name: TypeName::of("text"),
        enumeration: None,
        cast: false,
        conversion: None,
        form: BinaryForm::Text,
        not_null: !field.is_nullable(),
        required: !field.is_nullable(),
        collation: None,
        infinities: false,
    };
    let Some(origin) = ColumnType::of_field(field) else {
        (column.type_name, column.form) = derived(field).ok_or_else(|| {
            ConnectorError::schema(
                "unsupported_type",
                format!(
                    "column `{}` has the Arrow type `{}`, which PostgreSQL has no column type for; convert or drop it \
                     in a transform",
                    field.name(),
                    field.data_type()
                ),
            )
        })?;
        return Ok(column);
    };
    column.infinities = true;
    column.form = binary_form(origin.codec);
    if let Some(enumeration) = origin.enumeration {
        if let Some(fault) = names::fault(&enumeration.name) {
            return Err(ConnectorError::schema(
                "invalid_type_name",
                format!("column `{}`: the enum name `{}` {fault}", field.name(), enumeration.name),
            ));
        }
        column.type_name = TypeName::user(target_schema, &enumeration.name);
        column.enumeration = Some(enumeration);
        return Ok(column);
    }
    column.type_name = TypeName::parse(&origin.type_name).ok_or_else(|| {
        ConnectorError::schema(
            "unsupported_type",
            format!(
                "column `{}`: `{}` is not a type PostgreSQL could have named",
                field.name(),
                origin.type_name
            ),
        )
    })?;
    column.cast = origin.form == Form::Text;
    Ok(column)
}

fn binary_form(codec: Codec) -> BinaryForm {
    match codec {
        Codec::Bool => BinaryForm::Bool,
        Codec::Int16 => BinaryForm::Int2,
        Codec::Int32 => BinaryForm::Int4,
        Codec::Int64 | Codec::Money => BinaryForm::Int8,
        Codec::UInt32 => BinaryForm::Oid,
        Codec::Float32 => BinaryForm::Float4,
        Codec::Float64 => BinaryForm::Float8,
        Codec::Utf8 | Codec::Json => BinaryForm::Text,
        Codec::Jsonb => BinaryForm::Jsonb,
        Codec::Binary => BinaryForm::Bytea,
        Codec::Date => BinaryForm::Date,
        Codec::Time => BinaryForm::Time,
        Codec::Timestamp | Codec::TimestampTz => BinaryForm::Timestamp,
        Codec::Interval => BinaryForm::Interval,
        Codec::Uuid => BinaryForm::Uuid,
        Codec::NumericText | Codec::NumericDecimal { .. } => BinaryForm::Numeric,
    }
}

/// The type for an Arrow type of any origin.
fn derived(field: &Field) -> Option<(TypeName, BinaryForm)> {
    let extension = field.metadata().get(EXTENSION_NAME_KEY).map(String::as_str);
    let (name, form) = match field.data_type() {
        DataType::Boolean => ("boolean", BinaryForm::Bool),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => ("smallint", BinaryForm::Int2),
        DataType::Int32 | DataType::UInt16 => ("integer", BinaryForm::Int4),
        DataType::Int64 | DataType::UInt32 => ("bigint", BinaryForm::Int8),
        DataType::UInt64 => return Some((TypeName::with("numeric", &[20, 0]), BinaryForm::Numeric)),
        DataType::Float16 | DataType::Float32 => ("real", BinaryForm::Float4),
        DataType::Float64 => ("double precision", BinaryForm::Float8),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            return Some((numeric(*precision, *scale), BinaryForm::Numeric));
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => match extension {
            Some(JSON_EXTENSION) => ("jsonb", BinaryForm::Jsonb),
            Some(NUMERIC_EXTENSION) => ("numeric", BinaryForm::Numeric),
            _ => ("text", BinaryForm::Text),
        },
        DataType::Null => ("text", BinaryForm::Text),
        DataType::FixedSizeBinary(16) if extension == Some(UUID_EXTENSION) => ("uuid", BinaryForm::Uuid),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            ("bytea", BinaryForm::Bytea)
        }
        DataType::Date32 | DataType::Date64 => ("date", BinaryForm::Date),
        DataType::Time32(_) | DataType::Time64(_) => ("time without time zone", BinaryForm::Time),
        DataType::Timestamp(_, None) => ("timestamp without time zone", BinaryForm::Timestamp),
        DataType::Timestamp(_, Some(_)) => ("timestamp with time zone", BinaryForm::Timestamp),
        DataType::Duration(_) | DataType::Interval(_) => ("interval", BinaryForm::Interval),
        DataType::List(_)
        | DataType::ListView(_)
        | DataType::FixedSizeList(..)
        | DataType::LargeList(_)
        | DataType::LargeListView(_)
        | DataType::Struct(_)
        | DataType::Union(..)
        | DataType::Dictionary(..)
        | DataType::Map(..)
        | DataType::RunEndEncoded(..) => return None,
    };
    Some((TypeName::of(name), form))
}

/// Arrow's scale may be negative or above the precision; `numeric` before PostgreSQL 15 knows neither.
fn numeric(precision: u8, scale: i8) -> TypeName {
    let precision = u32::from(precision);
    match u32::try_from(scale) {
        Ok(scale) => TypeName::with("numeric", &[precision.max(scale), scale]),
        Err(_) => TypeName::with("numeric", &[precision + u32::from(scale.unsigned_abs()), 0]),
    }
}

/// The binary form for a type that holds this one.
pub fn widened_form(form: BinaryForm, table: &TypeName) -> BinaryForm {
    match (form, table.name.as_str()) {
        (BinaryForm::Int2, "integer") => BinaryForm::Int4,
        (BinaryForm::Int2 | BinaryForm::Int4, "bigint") => BinaryForm::Int8,
        (BinaryForm::Float4, "double precision") => BinaryForm::Float8,
        (form, _) => form,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::{IntervalUnit, TimeUnit};

    use super::*;

    fn one(data_type: DataType) -> Result<Column, ConnectorError> {
        let schema = Schema::new(vec![Field::new("c", data_type, true)]);
        columns("s", &schema, "raw").map(|mut columns| columns.remove(0))
    }

    #[test]
    fn every_arrow_type_has_a_column_type_whose_form_takes_it_or_is_refused_by_name() {
        for (data_type, expected) in [
            (DataType::Boolean, "boolean"),
            (DataType::Int8, "smallint"),
            (DataType::UInt8, "smallint"),
            (DataType::UInt16, "integer"),
            (DataType::UInt32, "bigint"),
            (DataType::UInt64, "numeric(20,0)"),
            (DataType::Float16, "real"),
            (DataType::Float64, "double precision"),
            (DataType::Decimal32(9, 2), "numeric(9,2)"),
            (DataType::Decimal128(38, -2), "numeric(40,0)"),
            (DataType::Decimal256(3, 5), "numeric(5,5)"),
            (DataType::Utf8View, "text"),
            (DataType::LargeUtf8, "text"),
            (DataType::Null, "text"),
            (DataType::BinaryView, "bytea"),
            (DataType::FixedSizeBinary(3), "bytea"),
            (DataType::FixedSizeBinary(16), "bytea"),
            (DataType::Date64, "date"),
            (DataType::Time32(TimeUnit::Second), "time without time zone"),
            (DataType::Time64(TimeUnit::Nanosecond), "time without time zone"),
            (DataType::Timestamp(TimeUnit::Nanosecond, None), "timestamp without time zone"),
            (DataType::Timestamp(TimeUnit::Second, Some("Europe/Berlin".into())), "timestamp with time zone"),
            (DataType::Duration(TimeUnit::Second), "interval"),
            (DataType::Interval(IntervalUnit::YearMonth), "interval"),
            (DataType::Interval(IntervalUnit::DayTime), "interval"),
        ] {
            let column = one(data_type.clone()).unwrap();
            assert_eq!(column.type_name.to_string(), expected, "{data_type}");
            assert!(column.form.takes(&data_type), "{data_type}");
        }
        let list = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
        let error = one(list).unwrap_err();
        assert_eq!(error.code, "unsupported_type");
        assert!(error.message.contains("column `c`"), "{}", error.message);
    }

    #[test]
    fn names_and_numbers_of_columns_are_bounded() {
        let refused = |fields: Vec<Field>| columns("s", &Schema::new(fields), "raw").unwrap_err().code;
        let field = |name: &str| Field::new(name, DataType::Int32, true);
        assert_eq!(refused(vec![]), "no_columns");
        assert_eq!(refused(vec![field("a"), field("a")]), "duplicate_column");
        assert_eq!(refused(vec![field("")]), "invalid_column_name");
        assert_eq!(refused(vec![field(&"é".repeat(32))]), "invalid_column_name");
        assert_eq!(refused((0..1600).map(|n| field(&format!("c{n}"))).collect()), "too_many_columns");
    }

    #[test]
    fn metadata_that_no_server_wrote_never_reaches_sql() {
        let origin = ColumnType {
            type_name: "text; DROP TABLE x".to_owned(),
            form: Form::Text,
            codec: Codec::Utf8,
            enumeration: None,
        };
        let schema = Schema::new(vec![origin.field("c", true)]);
        assert_eq!(columns("s", &schema, "raw").unwrap_err().code, "unsupported_type");
    }
}
