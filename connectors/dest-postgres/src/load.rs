//! The way of rows into a table, as SQL: copied straight in; or copied into a temporary table and cast, or merged by
//! key, from there. Builds text, runs nothing.

use rapidbyte_postgres::identifier::{QualifiedName, quote, quote_list};

use crate::column::Column;
use crate::names::{LOAD_TABLE, OR_NULL_FUNCTION, ordinal_column};

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
    /// The columns that are converted on their way.
    pub casts: Vec<Cast>,
    /// Through the temporary table for no other reason than to leave the table alone meanwhile.
    pub aside: bool,
}

/// A column whose values the server converts.
#[derive(Debug)]
pub struct Cast {
    pub column: String,
    pub type_name: String,
    /// SQL over the load table.
    pub sql: String,
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
    /// Appends rows. `aside`: through the temporary table even where nothing is converted, so that the table itself is
    /// touched at the checkpoint only.
    pub fn append(into: &QualifiedName, columns: &[Column], aside: bool) -> Self {
        if !aside && !columns.iter().any(|column| column.loaded_as().1) {
            let copy_sql = format!("COPY {into} ({}) FROM STDIN (FORMAT binary)", names(columns));
            return Load {
                create_sql: None,
                copy_sql,
                settle_sql: None,
                ordinal: None,
                casts: Vec::new(),
                aside: false,
            };
        }
        let settle_sql = format!(
            "INSERT INTO {into} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}",
            names(columns),
            cast_values(columns),
            load_table()
        );
        Load { aside, ..Self::staged(columns, settle_sql) }
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
            Some(update) => {
                let written = |name: &&String| columns.iter().any(|column| column.name == **name);
                update.iter().filter(written).map(String::as_str).collect()
            }
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
        let mut create_sql = String::new();
        let mut definitions = Vec::with_capacity(columns.len() + 1);
        let mut casts = Vec::new();
        for (number, column) in columns.iter().enumerate() {
            let (load_type, converted) = column.loaded_as();
            let collation = if converted { "" } else { column.collation.as_deref().unwrap_or_default() };
            definitions.push(format!("{} {load_type} {collation}", quote(&column.name)));
            if let Some(body) = column.conversion.as_ref().and_then(|conversion| conversion.or_null.as_ref())
            {
                create_sql.push_str(&format!(
                    "CREATE OR REPLACE FUNCTION {}({load_type}) RETURNS {} LANGUAGE plpgsql STABLE AS $rapidbyte$ BEGIN \
                     RETURN {body}; EXCEPTION WHEN data_exception OR integrity_constraint_violation OR \
                     feature_not_supported THEN RETURN NULL; END $rapidbyte$; ",
                    or_null_function(number),
                    column.type_name,
                ));
            }
            if converted {
                let type_name = column.type_name.to_string();
                casts.push(Cast { column: column.name.clone(), type_name, sql: value(number, column) });
            }
        }
        let load_table = load_table();
        create_sql.push_str(&format!(
            "CREATE TEMPORARY TABLE {load_table} ({}, {} int8 NOT NULL) ON COMMIT DELETE ROWS",
            definitions.join(", "),
            quote(&ordinal)
        ));
        Load {
            create_sql: Some(create_sql),
            copy_sql: format!(
                "COPY {load_table} ({}, {}) FROM STDIN (FORMAT binary)",
                names(columns),
                quote(&ordinal)
            ),
            settle_sql: Some(settle_sql),
            casts,
            ordinal: Some(ordinal),
            aside: false,
        }
    }
}

/// The columns' names, for SQL.
pub fn names(columns: &[Column]) -> String {
    quote_list(columns.iter().map(|column| &column.name))
}

fn cast_values(columns: &[Column]) -> String {
    let values = columns.iter().enumerate().map(|(number, column)| {
        let name = quote(&column.name);
        if column.loaded_as().1 { format!("{} AS {name}", value(number, column)) } else { name }
    });
    values.collect::<Vec<_>>().join(", ")
}

/// The value of the `number`th column, from the load table.
fn value(number: usize, column: &Column) -> String {
    let name = quote(&column.name);
    match &column.conversion {
        Some(conversion) if conversion.or_null.is_some() => format!("{}({name})", or_null_function(number)),
        Some(conversion) => conversion.sql.clone(),
        None if column.cast => format!("{name}::{}", column.type_name),
        None => name,
    }
}

/// The session's function that converts the `number`th column and makes NULL of what does not fit.
fn or_null_function(number: usize) -> String {
    format!("pg_temp.{}", quote(&format!("{OR_NULL_FUNCTION}{number}")))
}
