//! What the database says about the target: schema, table, columns, keys, types. Reads only.

use rapidbyte_postgres::Session;
use rapidbyte_postgres::identifier::QualifiedName;
use rapidbyte_sdk::prelude::*;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::type_name::TypeName;

/// A table as it is.
#[derive(Debug)]
pub struct Table {
    pub oid: u32,
    /// `pg_class.relkind`.
    pub kind: String,
    /// The session's role owns it, or is a member of the role that does.
    pub owned: bool,
    pub columns: Vec<TableColumn>,
    /// Column sets of the unique indexes that `ON CONFLICT` can use.
    pub keys: Vec<Vec<String>>,
}

#[derive(Debug)]
pub struct TableColumn {
    pub name: String,
    /// As `format_type` writes it.
    pub type_text: String,
    pub type_name: Option<TypeName>,
    /// Set for enums.
    pub labels: Option<Vec<String>>,
    pub not_null: bool,
    /// Has a default, or is an identity or generated column.
    pub filled: bool,
    pub generated: bool,
    pub identity: bool,
    /// `COLLATE` clause where the collation is not the type's own.
    pub collation: Option<String>,
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&TableColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether `ON CONFLICT` finds an index for this key.
    pub fn has_key(&self, key: &[String]) -> bool {
        self.keys
            .iter()
            .any(|columns| columns.len() == key.len() && key.iter().all(|name| columns.contains(name)))
    }
}

/// Runs a query whose parameters' types are known: one round trip.
pub async fn query(
    session: &Session,
    doing: &str,
    sql: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Row>, ConnectorError> {
    session.client().query_typed(sql, parameters).await.map_err(|error| session.error(doing, &error))
}

/// The value of a column that the query is known to have.
pub fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    index: usize,
) -> Result<T, ConnectorError> {
    row.try_get(index).map_err(|error| {
        ConnectorError::internal(
            "unexpected_catalog",
            format!("the catalog answered in an unexpected form: {error}"),
        )
    })
}

/// The first value of the first row.
pub async fn scalar<T: for<'a> tokio_postgres::types::FromSql<'a>>(
    session: &Session,
    doing: &str,
    sql: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<T, ConnectorError> {
    let rows = query(session, doing, sql, parameters).await?;
    let row = rows.first().ok_or_else(|| {
        ConnectorError::internal("unexpected_catalog", format!("{doing}: the catalog answered with no row"))
    })?;
    get(row, 0)
}

pub async fn schema_exists(session: &Session, schema: &str) -> Result<bool, ConnectorError> {
    scalar(
        session,
        "looking for the schema",
        "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)",
        &[(&schema, Type::TEXT)],
    )
    .await
}

pub async fn relation_exists(session: &Session, name: &QualifiedName) -> Result<bool, ConnectorError> {
    scalar(
        session,
        "looking for a table",
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relname = $2)",
        &[(&name.schema, Type::TEXT), (&name.name, Type::TEXT)],
    )
    .await
}

/// The labels of an enum type; the outer none: no type has this name.
pub async fn enum_labels(
    session: &Session,
    schema: &str,
    name: &str,
) -> Result<Option<Option<Vec<String>>>, ConnectorError> {
    let rows = query(
        session,
        "looking for an enum type",
        "SELECT t.typtype = 'e', ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid \
         ORDER BY e.enumsortorder) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
         WHERE n.nspname = $1 AND t.typname = $2",
        &[(&schema, Type::TEXT), (&name, Type::TEXT)],
    )
    .await?;
    match rows.first() {
        None => Ok(None),
        Some(row) if get(row, 0)? => Ok(Some(Some(get(row, 1)?))),
        Some(_) => Ok(Some(None)),
    }
}

/// Whether the database knows a type by this name.
pub async fn type_exists(session: &Session, name: &TypeName) -> Result<bool, ConnectorError> {
    scalar(
        session,
        "looking for a type",
        "SELECT to_regtype($1) IS NOT NULL",
        &[(&name.base_sql(), Type::TEXT)],
    )
    .await
}

pub async fn table(session: &Session, name: &QualifiedName) -> Result<Option<Table>, ConnectorError> {
    let doing = "looking at the target table";
    let rows = query(
        session,
        doing,
        "SELECT c.oid, c.relkind::text, pg_has_role(c.relowner, 'USAGE') \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2",
        &[(&name.schema, Type::TEXT), (&name.name, Type::TEXT)],
    )
    .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let oid: u32 = get(row, 0)?;
    let mut table =
        Table { oid, kind: get(row, 1)?, owned: get(row, 2)?, columns: Vec::new(), keys: Vec::new() };
    for row in query(session, doing, COLUMNS, &[(&oid, Type::OID)]).await? {
        let type_text: String = get(&row, 1)?;
        table.columns.push(TableColumn {
            name: get(&row, 0)?,
            type_name: TypeName::parse(&type_text),
            type_text,
            not_null: get(&row, 2)?,
            filled: get(&row, 3)?,
            generated: get(&row, 4)?,
            labels: get(&row, 5)?,
            collation: get(&row, 6)?,
            identity: get(&row, 7)?,
        });
    }
    for row in query(session, doing, KEYS, &[(&oid, Type::OID)]).await? {
        table.keys.push(get(&row, 0)?);
    }
    Ok(Some(table))
}

const COLUMNS: &str = "\
    SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
        a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '', a.attgenerated <> '', \
        CASE WHEN t.typtype = 'e' THEN ARRAY(SELECT e.enumlabel::text FROM pg_enum e \
            WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) END, \
        CASE WHEN a.attcollation <> t.typcollation THEN format('COLLATE %I.%I', cn.nspname, co.collname) END, \
        a.attidentity <> '' \
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
        LEFT JOIN pg_collation co ON co.oid = a.attcollation LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace \
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

const KEYS: &str = "\
    SELECT ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = i.indrelid \
        AND a.attnum = ANY ((string_to_array(i.indkey::text, ' ')::int2[])[1:i.indnkeyatts])) \
    FROM pg_index i WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate \
        AND i.indpred IS NULL AND i.indexprs IS NULL";
