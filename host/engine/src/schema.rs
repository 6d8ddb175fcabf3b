//! Small questions to Arrow schemas: which columns there are, a selection of them, which name was meant.

use arrow_schema::DataType;
use rapidbyte_core::ConnectorError;
use rapidbyte_core::contract::ArrowSchemaIpc;
use rapidbyte_core::frame::{decode_schema, encode_schema};

use crate::limits::{NAMES_SHOWN_MAX, SUGGESTION_EDITS_MAX};

/// The columns of a schema, in order.
pub(crate) fn column_names(ipc: &[u8]) -> Result<Vec<String>, ConnectorError> {
    Ok(decode_schema(ipc)?.fields().iter().map(|field| field.name().clone()).collect())
}

/// The schema of the selected columns, in the order of the selection; of all if none is selected. The columns exist.
pub(crate) fn project(ipc: &ArrowSchemaIpc, columns: &[String]) -> Result<ArrowSchemaIpc, ConnectorError> {
    if columns.is_empty() {
        return Ok(ipc.clone());
    }
    let schema = decode_schema(ipc)?;
    let indices: Vec<usize> = columns.iter().filter_map(|name| schema.index_of(name).ok()).collect();
    let projected = schema
        .project(&indices)
        .map_err(|error| ConnectorError::internal("projection", error.to_string()))?;
    encode_schema(&projected)
}

/// Whether a type is the one that a contract names: `Timestamp` and `Decimal` stand for all of their kind, `Utf8` and
/// `Binary` for every layout; anything else is the type's full name, in any case.
pub(crate) fn is_type(wanted: &str, found: &DataType) -> bool {
    let full = found.to_string().to_lowercase().replace(' ', "");
    let wanted = wanted.to_lowercase().replace(' ', "");
    if wanted == full {
        return true;
    }
    match wanted.as_str() {
        "utf8" | "text" | "string" | "varchar" => {
            matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        }
        "binary" | "bytea" => {
            matches!(
                found,
                DataType::Binary
                    | DataType::LargeBinary
                    | DataType::BinaryView
                    | DataType::FixedSizeBinary(_)
            )
        }
        "timestamp" => matches!(found, DataType::Timestamp(..)),
        "timestamptz" => matches!(found, DataType::Timestamp(_, Some(_))),
        "date" => matches!(found, DataType::Date32 | DataType::Date64),
        "time" => matches!(found, DataType::Time32(_) | DataType::Time64(_)),
        "decimal" | "numeric" => found.is_decimal(),
        "integer" | "int" => *found == DataType::Int32,
        "bigint" => *found == DataType::Int64,
        "smallint" => *found == DataType::Int16,
        "double" | "float8" => *found == DataType::Float64,
        "real" | "float4" | "float" => *found == DataType::Float32,
        "bool" => *found == DataType::Boolean,
        "list" => matches!(found, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)),
        "struct" => matches!(found, DataType::Struct(_)),
        _ => false,
    }
}

/// The first name that occurs twice.
pub(crate) fn repeated(names: &[String]) -> Option<&str> {
    let mut seen = std::collections::HashSet::new();
    names.iter().find(|name| !seen.insert(name.as_str())).map(String::as_str)
}

/// What to say about a name that does not exist: the one that was probably meant, else those there are.
pub(crate) fn suggestion<'a>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Option<String> {
    let lower = name.to_lowercase();
    let distance = |other: &str| strsim::damerau_levenshtein(&lower, &other.to_lowercase());
    let nearest = known.clone().map(|other| (distance(other), other)).min();
    match nearest {
        Some((edits, other)) if edits <= SUGGESTION_EDITS_MAX.min(name.len().max(3) / 2) => {
            Some(format!("did you mean `{other}`?"))
        }
        // `orders` for `public.orders`.
        Some(_)
            if let Some(qualified) = known.clone().find(|other| other.rsplit('.').next() == Some(name)) =>
        {
            Some(format!("did you mean `{qualified}`?"))
        }
        Some(_) => Some(format!("there are the {what} {}", names_shown(known))),
        None => Some(format!("there are no {what} at all")),
    }
}

/// Names for a message, cut where there are many.
pub(crate) fn names_shown<'a>(names: impl Iterator<Item = &'a str> + Clone) -> String {
    let count = names.clone().count();
    let mut shown: Vec<String> = names.take(NAMES_SHOWN_MAX).map(|name| format!("`{name}`")).collect();
    if count > NAMES_SHOWN_MAX {
        shown.push(format!("{} more", count - NAMES_SHOWN_MAX));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_short_names() {
        use arrow_schema::TimeUnit;
        let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        for (wanted, found, is) in [
            ("Utf8", DataType::LargeUtf8, true),
            ("int64", DataType::Int64, true),
            ("Int64", DataType::Int32, false),
            ("Timestamp", zoned.clone(), true),
            ("timestamptz", DataType::Timestamp(TimeUnit::Second, None), false),
            ("Decimal128(18, 2)", DataType::Decimal128(18, 2), true),
            ("decimal128(18,2)", DataType::Decimal128(10, 2), false),
            ("Decimal", DataType::Decimal256(40, 2), true),
            ("Uft8", DataType::Utf8, false),
        ] {
            assert_eq!(is_type(wanted, &found), is, "{wanted} {found}");
        }
    }

    #[test]
    fn suggests_what_was_meant() {
        let known = ["public.orders", "public.customers", "id"];
        let ask = |name| suggestion("streams", name, known.iter().copied()).unwrap();
        assert_eq!(ask("public.order"), "did you mean `public.orders`?");
        assert_eq!(ask("orders"), "did you mean `public.orders`?");
        assert_eq!(ask("ID"), "did you mean `id`?");
        assert_eq!(ask("invoices"), "there are the streams `public.orders`, `public.customers`, `id`");
        assert_eq!(suggestion("columns", "x", [].into_iter()).unwrap(), "there are no columns at all");
        let many: Vec<String> = (0..20).map(|n| format!("column_number_{n}")).collect();
        assert!(names_shown(many.iter().map(String::as_str)).ends_with("`column_number_7`, 12 more"));
        assert_eq!(repeated(&["a".into(), "b".into(), "a".into()]), Some("a"));
    }
}
