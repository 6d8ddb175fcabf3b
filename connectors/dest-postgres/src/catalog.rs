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
    /// What only the parent can change, if the table is a partition, a child or of a type: that parent.
    pub parent: Option<String>,
    pub columns: Vec<TableColumn>,
    /// Column sets of the unique indexes that `ON CONFLICT` can use.
    pub keys: Vec<Vec<String>>,
}

#[derive(Debug, Default)]
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
    /// Must never be NULL: of the primary key or the replica identity.
    pub identifying: bool,
    /// Rows are assigned to partitions by it.
    pub partitioning: bool,
    pub dependents: Vec<Dependent>,
}

/// What would be lost or left behind if a column went or became another type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependent {
    /// As the server describes it: `view raw.totals`.
    pub name: String,
    /// The server builds it anew when the column's type changes.
    pub rebuilt: bool,
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
        "SELECT c.oid, c.relkind::text, pg_has_role(c.relowner, 'USAGE'), coalesce(\
            (SELECT 'table ' || i.inhparent::regclass::text FROM pg_inherits i WHERE i.inhrelid = c.oid LIMIT 1), \
            CASE WHEN c.reloftype <> 0 THEN 'type ' || format_type(c.reloftype, NULL) END) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2",
        &[(&name.schema, Type::TEXT), (&name.name, Type::TEXT)],
    )
    .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let oid: u32 = get(row, 0)?;
    let mut table = Table {
        oid,
        kind: get(row, 1)?,
        owned: get(row, 2)?,
        parent: get(row, 3)?,
        columns: Vec::new(),
        keys: Vec::new(),
    };
    let mut dependents =
        query(session, doing, DEPENDENTS, &[(&oid, Type::OID)]).await?.into_iter().peekable();
    for row in query(session, doing, COLUMNS, &[(&oid, Type::OID)]).await? {
        let type_text: String = get(&row, 1)?;
        let number: i32 = get(&row, 8)?;
        let mut own = Vec::new();
        while let Some(dependent) = dependents.peek() {
            if get::<i32>(dependent, 0)? > number {
                break;
            }
            own.push(Dependent { name: get(dependent, 1)?, rebuilt: get(dependent, 2)? });
            dependents.next();
        }
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
            identifying: get(&row, 9)?,
            partitioning: get(&row, 10)?,
            dependents: own,
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
        a.attidentity <> '', a.attnum::int4, \
        EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND (i.indisprimary OR i.indisreplident) \
            AND a.attnum = ANY (string_to_array(i.indkey::text, ' ')::int2[])), \
        EXISTS (SELECT FROM pg_partitioned_table p WHERE p.partrelid = a.attrelid \
            AND a.attnum = ANY (string_to_array(p.partattrs::text, ' ')::int2[])) \
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
        LEFT JOIN pg_collation co ON co.oid = a.attcollation LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace \
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// What depends on the columns, in the order of these: all but a column's own default and the sequence it owns.
const DEPENDENTS: &str = "\
    SELECT DISTINCT d.refobjsubid, CASE vc.relkind WHEN 'v' THEN 'view ' || vc.oid::regclass::text \
            WHEN 'm' THEN 'materialized view ' || vc.oid::regclass::text \
            ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END, \
        d.classid IN ('pg_class'::regclass, 'pg_constraint'::regclass, 'pg_statistic_ext'::regclass) \
    FROM pg_depend d LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid \
        LEFT JOIN pg_class vc ON vc.oid = r.ev_class \
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid > 0 \
        AND NOT (d.classid = 'pg_attrdef'::regclass AND EXISTS (SELECT FROM pg_attrdef f \
            WHERE f.oid = d.objid AND f.adrelid = $1 AND f.adnum = d.refobjsubid)) \
        AND NOT (d.classid = 'pg_class'::regclass AND d.objid = $1) \
        AND NOT (d.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_class s \
            WHERE s.oid = d.objid AND s.relkind = 'S')) \
        AND NOT (d.classid = 'pg_constraint'::regclass AND EXISTS (SELECT FROM pg_constraint k \
            WHERE k.oid = d.objid AND k.contype = 'n')) \
    ORDER BY 1, 2";

const KEYS: &str = "\
    SELECT ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = i.indrelid \
        AND a.attnum = ANY ((string_to_array(i.indkey::text, ' ')::int2[])[1:i.indnkeyatts])) \
    FROM pg_index i WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate \
        AND i.indpred IS NULL AND i.indexprs IS NULL";
