//! Names of types as people write them in documents: Arrow's (`Utf8`, `Timestamp(ms)`) and SQL's (`TEXT`, `NUMERIC(18,2)`).
//!
//! Refuses to know: what can be cast into what.

use std::str::FromStr;
use std::sync::Arc;

use arrow_schema::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, TimeUnit};

/// A name that is no type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnknownType {
    pub message: String,
    pub hint: String,
}

const EXAMPLES: &str = "types are written as Arrow or SQL names them: `Int64`, `BIGINT`, `Utf8`, `TEXT`, `Double`, `DECIMAL(18,2)`, \
     `Boolean`, `Date`, `Timestamp`, `Timestamp(ms)`, `TIMESTAMPTZ`, `Binary`";

/// The type that a name means. SQL's names may be written in any case; a timestamp has microseconds unless it says.
pub fn parse(name: &str) -> Result<DataType, UnknownType> {
    let name = name.trim();
    let (word, arguments) = match name.split_once('(') {
        Some((word, rest)) => match rest.strip_suffix(')') {
            Some(arguments) => (word.trim(), arguments.split(',').map(str::trim).collect()),
            None => return Err(unknown(name)),
        },
        None => (name, Vec::new()),
    };
    // `int8` is one byte to Arrow and eight to PostgreSQL: only Arrow's own spelling is clear.
    if word != "Int8" && word.eq_ignore_ascii_case("int8") {
        return Err(UnknownType {
            message: format!("type `{name}` is ambiguous"),
            hint: "write `BIGINT` for eight bytes, `Int8` or `TINYINT` for one".to_owned(),
        });
    }
    let lower = word.to_ascii_lowercase();
    let plain = arguments.is_empty().then(|| simple(&lower)).flatten();
    let known = plain.or_else(|| match lower.as_str() {
        "decimal" | "numeric" | "decimal128" | "decimal256" => decimal(&lower, &arguments),
        "timestamp" => timestamp(&arguments),
        "time" => time(&arguments),
        _ => None,
    });
    // Whatever Arrow itself writes, nested types included.
    known.or_else(|| DataType::from_str(name).ok()).ok_or_else(|| {
        let mut problem = unknown(name);
        match lower.as_str() {
            "decimal" | "numeric" | "decimal128" | "decimal256" => {
                problem.hint =
                    "give precision and scale: `DECIMAL(18,2)`, at most 76 digits, no more behind the point"
                        .to_owned();
            }
            "varchar" | "char" | "character varying" | "text" | "utf8" | "string" => {
                problem.hint = "text has no length here: write `Utf8` or `TEXT`".to_owned();
            }
            "timestamp" | "time" => problem.hint = "the unit is one of `s`, `ms`, `us`, `ns`".to_owned(),
            _ => {}
        }
        problem
    })
}

fn unknown(name: &str) -> UnknownType {
    UnknownType { message: format!("there is no type `{name}`"), hint: EXAMPLES.to_owned() }
}

fn simple(lower: &str) -> Option<DataType> {
    Some(match lower {
        "boolean" | "bool" => DataType::Boolean,
        "int8" | "tinyint" => DataType::Int8,
        "int16" | "smallint" | "int2" => DataType::Int16,
        "int32" | "int" | "integer" | "int4" => DataType::Int32,
        "int64" | "bigint" => DataType::Int64,
        "uint8" => DataType::UInt8,
        "uint16" => DataType::UInt16,
        "uint32" => DataType::UInt32,
        "uint64" => DataType::UInt64,
        "float32" | "real" | "float4" => DataType::Float32,
        "float64" | "double" | "double precision" | "float8" | "float" => DataType::Float64,
        "utf8" | "text" | "string" | "varchar" => DataType::Utf8,
        "largeutf8" => DataType::LargeUtf8,
        "binary" | "bytea" | "blob" | "varbinary" | "bytes" => DataType::Binary,
        "largebinary" => DataType::LargeBinary,
        "date" | "date32" => DataType::Date32,
        "time without time zone" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" | "timestamp without time zone" | "datetime" => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        "timestamptz" | "timestamp with time zone" => {
            DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
        }
        "time" => DataType::Time64(TimeUnit::Microsecond),
        _ => return None,
    })
}

fn decimal(word: &str, arguments: &[&str]) -> Option<DataType> {
    let (precision, scale) = match arguments {
        [precision] => (precision.parse::<u8>().ok()?, 0),
        [precision, scale] => (precision.parse::<u8>().ok()?, scale.parse::<i8>().ok()?),
        _ => return None,
    };
    if precision == 0 || scale < 0 || scale.unsigned_abs() > precision {
        return None;
    }
    match word {
        "decimal256" if precision <= DECIMAL256_MAX_PRECISION => Some(DataType::Decimal256(precision, scale)),
        _ if precision <= DECIMAL128_MAX_PRECISION => Some(DataType::Decimal128(precision, scale)),
        "decimal" | "numeric" if precision <= DECIMAL256_MAX_PRECISION => {
            Some(DataType::Decimal256(precision, scale))
        }
        _ => None,
    }
}

fn unit(name: &str) -> Option<TimeUnit> {
    Some(match name.to_ascii_lowercase().as_str() {
        "s" | "second" | "seconds" | "0" => TimeUnit::Second,
        "ms" | "millisecond" | "milliseconds" | "3" => TimeUnit::Millisecond,
        "us" | "µs" | "microsecond" | "microseconds" | "6" => TimeUnit::Microsecond,
        "ns" | "nanosecond" | "nanoseconds" | "9" => TimeUnit::Nanosecond,
        _ => return None,
    })
}

fn timestamp(arguments: &[&str]) -> Option<DataType> {
    match arguments {
        [unit_name] => Some(DataType::Timestamp(unit(unit_name)?, None)),
        [unit_name, zone] => {
            let zone = zone.trim_matches(['"', '\'']);
            // `Some("UTC")` and `None` are how Arrow writes them.
            let zone = zone
                .strip_prefix("Some(")
                .and_then(|it| it.strip_suffix(')'))
                .unwrap_or(zone)
                .trim_matches(['"', '\'']);
            let zone = (!zone.is_empty() && zone != "None").then(|| Arc::from(zone));
            Some(DataType::Timestamp(unit(unit_name)?, zone))
        }
        _ => None,
    }
}

fn time(arguments: &[&str]) -> Option<DataType> {
    match arguments {
        [unit_name] => Some(match unit(unit_name)? {
            it @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(it),
            it => DataType::Time64(it),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_arrow_and_sql_are_understood() {
        let utc = || Some(Arc::from("UTC"));
        for (name, expected) in [
            ("Utf8", DataType::Utf8),
            ("text", DataType::Utf8),
            ("Int64", DataType::Int64),
            ("BIGINT", DataType::Int64),
            ("Int8", DataType::Int8),
            ("Double", DataType::Float64),
            ("DOUBLE PRECISION", DataType::Float64),
            ("Decimal(18,2)", DataType::Decimal128(18, 2)),
            ("NUMERIC( 18 , 2 )", DataType::Decimal128(18, 2)),
            ("decimal(9)", DataType::Decimal128(9, 0)),
            ("decimal(50,10)", DataType::Decimal256(50, 10)),
            ("Decimal128(10, 2)", DataType::Decimal128(10, 2)),
            ("Date", DataType::Date32),
            ("Boolean", DataType::Boolean),
            ("bytea", DataType::Binary),
            ("Timestamp", DataType::Timestamp(TimeUnit::Microsecond, None)),
            ("TIMESTAMPTZ", DataType::Timestamp(TimeUnit::Microsecond, utc())),
            ("timestamp with time zone", DataType::Timestamp(TimeUnit::Microsecond, utc())),
            ("Timestamp(ms)", DataType::Timestamp(TimeUnit::Millisecond, None)),
            ("Timestamp(Nanosecond, None)", DataType::Timestamp(TimeUnit::Nanosecond, None)),
            ("Timestamp(us, UTC)", DataType::Timestamp(TimeUnit::Microsecond, utc())),
            ("Time32(ms)", DataType::Time32(TimeUnit::Millisecond)),
            ("time(s)", DataType::Time32(TimeUnit::Second)),
            ("FixedSizeBinary(16)", DataType::FixedSizeBinary(16)),
        ] {
            assert_eq!(parse(name), Ok(expected), "{name}");
        }
    }

    #[test]
    fn what_arrow_writes_is_understood() {
        for data_type in [
            DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
            DataType::Timestamp(TimeUnit::Second, None),
            DataType::Decimal256(60, 3),
            DataType::UInt16,
            DataType::LargeUtf8,
        ] {
            assert_eq!(parse(&data_type.to_string()), Ok(data_type));
        }
    }

    #[test]
    fn what_is_no_type_says_so() {
        for (name, hint) in [
            ("Int", None),
            ("int8", Some("BIGINT")),
            ("INT8", Some("BIGINT")),
            ("Datum", Some("Int64")),
            ("", Some("Int64")),
            ("decimal", Some("precision")),
            ("decimal(0,0)", Some("precision")),
            ("decimal(80,2)", Some("precision")),
            ("decimal(4,5)", Some("precision")),
            ("decimal(4,-1)", Some("precision")),
            ("varchar(20)", Some("no length")),
            ("Timestamp(week)", Some("unit")),
            ("Timestamp(", Some("Int64")),
        ] {
            match (parse(name), hint) {
                (Ok(_), None) => {}
                (Err(problem), Some(hint)) => assert!(problem.hint.contains(hint), "{name}: {problem:?}"),
                (other, _) => panic!("{name}: {other:?}"),
            }
        }
    }
}
