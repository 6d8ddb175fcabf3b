//! The way of rows into a table, as SQL: copied straight in; or copied into a temporary table and cast, or merged by
//! key, from there. Builds text, runs nothing.

use rapidbyte_postgres::identifier::{QualifiedName, quote, quote_list};

use crate::column::Column;
use crate::names::{LOAD_TABLE, ordinal_column};

/// How rows get into a table.
#[derive(Debug)]
pub struct Load {
    /// Creates the temporary table, once per session. It is empty at the start of every transaction.
    pub create_sql: Option<String>,
    pub copy_sql: String,
    /// Moves what was copied from the temporary table to where it belongs.
    pub settle_sql: Option<String>,
    /// The temporary table's column that numbers the rows.
    pub ordinal: Option<String>,
    /// Name and type of the columns that are cast.
    pub casts: Vec<(String, String)>,
}

/// What an upsert does with a row whose key is there already.
#[derive(Debug, Clone, Copy)]
pub struct Merge<'a> {
    pub key: &'a [String],
    /// The columns that the existing row takes over. None: all but the key.
    pub update: Option<&'a [String]>,
}

/// The temporary table, qualified so that no other table of the name is meant.
pub fn load_table() -> String {
    format!("pg_temp.{}", quote(LOAD_TABLE))
}

impl Load {
    /// Appends rows.
    pub fn append(into: &QualifiedName, columns: &[Column]) -> Self {
        if !columns.iter().any(|column| column.cast) {
            let copy_sql = format!("COPY {into} ({}) FROM STDIN (FORMAT binary)", names(columns));
            return Load { create_sql: None, copy_sql, settle_sql: None, ordinal: None, casts: Vec::new() };
        }
        let list = names(columns);
        Self::staged(
            columns,
            format!(
                "INSERT INTO {into} ({list}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}",
                cast_values(columns),
                load_table()
            ),
        )
    }

    /// Inserts rows by key. Of several rows with one key the last wins; what it leaves alone stays as the first has it,
    /// so that the result does not depend on where a checkpoint happens to fall.
    pub fn merge(into: &QualifiedName, columns: &[Column], merge: Merge<'_>) -> Self {
        let list = names(columns);
        let key = quote_list(merge.key);
        let is_key = |name: &String| merge.key.contains(name);
        let updated: Vec<&str> = match merge.update {
            None => {
                columns.iter().map(|c| &c.name).filter(|name| !is_key(name)).map(String::as_str).collect()
            }
            Some(update) => update.iter().map(String::as_str).collect(),
        };
        let action = if updated.is_empty() {
            "DO NOTHING".to_owned()
        } else {
            let sets = updated.iter().map(|name| format!("{0} = EXCLUDED.{0}", quote(name)));
            format!("DO UPDATE SET {}", sets.collect::<Vec<_>>().join(", "))
        };
        let ordinal = quote(&ordinal_column(columns.iter().map(|column| column.name.as_str())));
        let arrived =
            format!("(SELECT {}, {ordinal} FROM {}) AS arrived", cast_values(columns), load_table());
        let one_per_key = |order: &str| {
            format!("(SELECT DISTINCT ON ({key}) * FROM {arrived} ORDER BY {key}, {ordinal} {order})")
        };
        let all_updated = columns.iter().all(|c| is_key(&c.name) || updated.contains(&c.name.as_str()));
        let rows = if all_updated {
            format!("SELECT {list} FROM {} AS latest", one_per_key("DESC"))
        } else {
            let values = columns.iter().map(|column| {
                let from = if updated.contains(&column.name.as_str()) { "latest" } else { "earliest" };
                format!("{from}.{}", quote(&column.name))
            });
            format!(
                "SELECT {} FROM {} AS earliest JOIN {} AS latest USING ({key})",
                values.collect::<Vec<_>>().join(", "),
                one_per_key("ASC"),
                one_per_key("DESC"),
            )
        };
        Self::staged(
            columns,
            format!(
                "INSERT INTO {into} ({list}) OVERRIDING SYSTEM VALUE {rows} ON CONFLICT ({key}) {action}"
            ),
        )
    }

    fn staged(columns: &[Column], settle_sql: String) -> Self {
        let ordinal = ordinal_column(columns.iter().map(|column| column.name.as_str()));
        let definitions = columns.iter().map(|column| {
            if column.cast {
                return format!("{} text", quote(&column.name));
            }
            let collation = column.collation.as_deref().unwrap_or_default();
            format!("{} {} {collation}", quote(&column.name), column.type_name)
        });
        let load_table = load_table();
        Load {
            create_sql: Some(format!(
                "CREATE TEMPORARY TABLE {load_table} ({}, {} int8 NOT NULL) ON COMMIT DELETE ROWS",
                definitions.collect::<Vec<_>>().join(", "),
                quote(&ordinal)
            )),
            copy_sql: format!(
                "COPY {load_table} ({}, {}) FROM STDIN (FORMAT binary)",
                names(columns),
                quote(&ordinal)
            ),
            settle_sql: Some(settle_sql),
            casts: columns
                .iter()
                .filter(|column| column.cast)
                .map(|column| (column.name.clone(), column.type_name.to_string()))
                .collect(),
            ordinal: Some(ordinal),
        }
    }
}

/// The columns' names, for SQL.
pub fn names(columns: &[Column]) -> String {
    quote_list(columns.iter().map(|column| &column.name))
}

fn cast_values(columns: &[Column]) -> String {
    let values = columns.iter().map(|column| {
        let name = quote(&column.name);
        if column.cast { format!("{name}::{} AS {name}", column.type_name) } else { name }
    });
    values.collect::<Vec<_>>().join(", ")
}
