//! Relations, columns and keys, from the system catalogs. Takes no locks on the relations themselves, so that
//! discovery answers while tables are locked.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use rapidbyte_postgres::Session;
use rapidbyte_postgres::identifier::QualifiedName;
use rapidbyte_postgres::types::{Codec, ColumnType, Enumeration, Form, oid};
use rapidbyte_sdk::prelude::*;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql, Type};

use crate::config::Config;

/// Relations of the schemas `$1`, or the one named `$2` in them. Partitions are part of their partitioned table, and
/// what an extension brought along is not the user's.
const RELATIONS: &str = "\
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relhassubclass, \
    coalesce(p.rows, c.reltuples)::float8, \
    (coalesce(p.pages, c.relpages::int8 + coalesce(t.relpages, 0)) * current_setting('block_size')::int8)::int8 \
FROM pg_catalog.pg_class c \
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid \
LEFT JOIN LATERAL ( \
    SELECT sum(greatest(l.reltuples, 0)) AS rows, sum(l.relpages::int8 + coalesce(lt.relpages, 0)) AS pages \
    FROM pg_catalog.pg_partition_tree(c.oid) tree \
    JOIN pg_catalog.pg_class l ON l.oid = tree.relid \
    LEFT JOIN pg_catalog.pg_class lt ON lt.oid = l.reltoastrelid \
    WHERE tree.isleaf \
) p ON c.relkind = 'p' \
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname = ANY ($1) \
    AND CASE WHEN $2::text IS NOT NULL THEN c.relname = $2 ELSE \
        NOT c.relispartition AND left(c.relname, 11) <> '_rapidbyte_' \
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass \
            AND d.objid = c.oid AND d.deptype = 'e') \
    END \
ORDER BY 2, 3";

/// Columns of the relations `$1`, each with the type below its domains.
const COLUMNS: &str = "\
SELECT a.attrelid, a.attname::text, a.attnotnull, a.attgenerated <> '', b.oid, b.typmod, b.typtype::text, \
    b.typname::text, b.typisdefined, pg_catalog.format_type(b.oid, b.typmod), pg_catalog.format_type(b.oid, -1), \
    coalesce(l.collisdeterministic, true), \
    CASE WHEN k.place < i.indnkeyatts THEN k.place END::int4 \
FROM pg_catalog.pg_attribute a \
CROSS JOIN LATERAL ( \
    WITH RECURSIVE below AS ( \
        SELECT t.oid, t.typtype, t.typbasetype, t.typtypmod, t.typname, t.typisdefined, a.atttypmod AS typmod \
        FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid \
        UNION ALL \
        SELECT t.oid, t.typtype, t.typbasetype, t.typtypmod, t.typname, t.typisdefined, below.typtypmod \
        FROM below JOIN pg_catalog.pg_type t ON t.oid = below.typbasetype WHERE below.typtype = 'd' \
    ) \
    SELECT * FROM below WHERE typtype <> 'd' \
) b \
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation \
LEFT JOIN pg_catalog.pg_index i ON i.indrelid = a.attrelid AND i.indisprimary \
LEFT JOIN LATERAL ( \
    SELECT place - 1 AS place FROM unnest(i.indkey::int2[]) WITH ORDINALITY key (number, place) \
    WHERE number = a.attnum \
) k ON true \
WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped \
ORDER BY a.attrelid, a.attnum";

const ENUM_LABELS: &str = "\
SELECT enumtypid, enumlabel::text FROM pg_catalog.pg_enum WHERE enumtypid = ANY ($1) \
ORDER BY enumtypid, enumsortorder";

/// A table, view, or what else can be read like one.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    pub(crate) oid: u32,
    pub(crate) name: QualifiedName,
    pub(crate) kind: Kind,
    pub(crate) columns: Vec<Column>,
    /// Indices of the primary key's columns, in the key's order.
    pub(crate) primary_key: Vec<usize>,
    pub(crate) estimated_rows: Option<u64>,
    pub(crate) estimated_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An ordinary table that nothing inherits from: the only kind that `COPY` reads by name.
    Table,
    /// Partitioned and inherited tables, views, materialised views, foreign tables.
    Other,
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) not_null: bool,
    pub(crate) generated: bool,
    pub(crate) column_type: ColumnType,
    pub(crate) type_oid: u32,
    /// The type without modifiers, to cast a literal to.
    pub(crate) cast_type: String,
    /// Values that compare equal are equal byte by byte.
    pub(crate) deterministic: bool,
}

impl Column {
    /// Whether the query casts it to text: what has no binary form that Arrow holds, and XML, whose binary form leaves
    /// the declaration out.
    pub(crate) fn is_read_as_text(&self) -> bool {
        self.column_type.form == Form::Text || self.type_oid == oid::XML
    }

    /// Whether an incremental read can be ordered by it.
    pub(crate) fn is_cursor(&self) -> bool {
        self.column_type.form == Form::Native
            && self.column_type.enumeration.is_none()
            && match self.column_type.codec {
                Codec::Int16
                | Codec::Int32
                | Codec::Int64
                | Codec::UInt32
                | Codec::Float32
                | Codec::Float64
                | Codec::NumericText
                | Codec::NumericDecimal { .. }
                | Codec::Date
                | Codec::Timestamp
                | Codec::TimestampTz
                | Codec::Uuid => true,
                Codec::Utf8 => self.type_oid != oid::XML,
                _ => false,
            }
    }
}

impl Relation {
    pub(crate) fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The Arrow schema of these columns.
    pub(crate) fn schema(&self, columns: &[usize]) -> SchemaRef {
        let fields = columns.iter().filter_map(|index| self.columns.get(*index)).map(|column| {
            let nullable = !column.not_null;
            column.column_type.field(&column.name, nullable)
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn catalog_stream(&self, default_schema: &str) -> CatalogStream {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let cursor_fields: Vec<String> = self
            .columns
            .iter()
            .filter(|column| column.is_cursor())
            .map(|column| column.name.clone())
            .collect();
        let mut sync_modes = vec![SyncMode::FullRefresh];
        if !cursor_fields.is_empty() {
            sync_modes.push(SyncMode::Incremental);
        }
        CatalogStream {
            primary_key: self.primary_key.iter().map(|index| self.columns[*index].name.clone()).collect(),
            cursor_fields,
            sync_modes,
            estimated_rows: self.estimated_rows,
            estimated_bytes: self.estimated_bytes,
            ..CatalogStream::new(self.name.stream_name(default_schema), self.schema(&all))
        }
    }
}

/// Everything the configured schemas offer.
pub(crate) async fn discover(
    session: &Session,
    config: &Config,
    ctx: &Context,
) -> Result<Catalog, ConnectorError> {
    let relations = relations(session, config, &config.all_schemas(), None).await?;
    let mut streams = Vec::with_capacity(relations.len());
    for relation in relations {
        match relation {
            Ok(relation) => streams.push(relation.catalog_stream(&config.schema)),
            Err(error) => ctx.log().warn(&format!("left out of the catalog: {error}"), &[]),
        }
    }
    Ok(Catalog { streams })
}

/// The relation a stream name means.
pub(crate) async fn find(
    session: &Session,
    config: &Config,
    stream: &str,
) -> Result<Relation, ConnectorError> {
    let missing = |reason: &str| {
        ConnectorError::schema(
            "stream_missing",
            format!(
                "stream `{stream}` {reason} in {}: run `rapidbyte schema discover` to see what there is",
                session.endpoint()
            ),
        )
        .with_details(serde_json::json!({ "stream": stream }))
    };
    let name = QualifiedName::from_stream_name(stream, &config.schema).ok_or_else(|| {
        missing("is not named like a table (`table` or `schema.table`, parts with dots in double quotes)")
    })?;
    let mut found = relations(session, config, &[&name.schema], Some(&name.name)).await?;
    found.pop().unwrap_or_else(|| Err(missing(&format!("(table {name}) does not exist"))))
}

/// The relations, or why one of them can't be read.
async fn relations(
    session: &Session,
    config: &Config,
    schemas: &[&str],
    name: Option<&str>,
) -> Result<Vec<Result<Relation, ConnectorError>>, ConnectorError> {
    let rows = query(session, RELATIONS, &[(&schemas, Type::TEXT_ARRAY), (&name, Type::TEXT)]).await?;
    let mut oids: Vec<u32> = Vec::with_capacity(rows.len());
    for row in &rows {
        oids.push(get(session, row, 0)?);
    }
    let column_rows = query(session, COLUMNS, &[(&oids, Type::OID_ARRAY)]).await?;
    let labels = enum_labels(session, &column_rows).await?;
    let mut columns: HashMap<u32, Vec<Row>> = HashMap::new();
    for row in column_rows {
        columns.entry(get(session, &row, 0)?).or_default().push(row);
    }
    let mut relations = Vec::with_capacity(rows.len());
    for row in &rows {
        let columns = columns.remove(&get(session, row, 0)?).unwrap_or_default();
        relations.push(relation(session, config, row, &columns, &labels));
    }
    Ok(relations)
}

async fn enum_labels(
    session: &Session,
    columns: &[Row],
) -> Result<HashMap<u32, Vec<String>>, ConnectorError> {
    let mut oids: Vec<u32> = Vec::new();
    for row in columns {
        if get::<&str>(session, row, 6)? == "e" {
            oids.push(get(session, row, 4)?);
        }
    }
    let mut labels: HashMap<u32, Vec<String>> = HashMap::new();
    if !oids.is_empty() {
        for row in query(session, ENUM_LABELS, &[(&oids, Type::OID_ARRAY)]).await? {
            labels.entry(get(session, &row, 0)?).or_default().push(get(session, &row, 1)?);
        }
    }
    Ok(labels)
}

fn relation(
    session: &Session,
    config: &Config,
    row: &Row,
    column_rows: &[Row],
    labels: &HashMap<u32, Vec<String>>,
) -> Result<Relation, ConnectorError> {
    let name = QualifiedName::new(get::<String>(session, row, 1)?, get::<String>(session, row, 2)?);
    let has_children: bool = get(session, row, 4)?;
    let kind = if get::<&str>(session, row, 3)? == "r" && !has_children { Kind::Table } else { Kind::Other };
    let mut columns = Vec::with_capacity(column_rows.len());
    let mut key_places = Vec::new();
    for (index, row) in column_rows.iter().enumerate() {
        columns.push(column(session, config, &name, row, labels)?);
        if let Some(place) = get::<Option<i32>>(session, row, 12)? {
            key_places.push((place, index));
        }
    }
    if has_children && get::<&str>(session, row, 3)? == "r" {
        // A key of a parent says nothing of what its children hold.
        key_places.clear();
    }
    key_places.sort_unstable();
    // -1: never analysed.
    let rows: f64 = get(session, row, 5)?;
    let bytes: i64 = get(session, row, 6)?;
    Ok(Relation {
        oid: get(session, row, 0)?,
        name,
        kind,
        columns,
        primary_key: key_places.into_iter().map(|(_, index)| index).collect(),
        estimated_rows: (rows >= 0.0).then_some(rows as u64),
        estimated_bytes: u64::try_from(bytes).ok().filter(|bytes| *bytes > 0),
    })
}

fn column(
    session: &Session,
    config: &Config,
    relation: &QualifiedName,
    row: &Row,
    labels: &HashMap<u32, Vec<String>>,
) -> Result<Column, ConnectorError> {
    let name: String = get(session, row, 1)?;
    let type_oid: u32 = get(session, row, 4)?;
    let kind: &str = get(session, row, 6)?;
    let type_name: String = get(session, row, 9)?;
    let defined: bool = get(session, row, 8)?;
    if !defined || kind == "p" {
        return Err(ConnectorError::schema(
            "type_unsupported",
            format!("column `{name}` of {relation} has the type `{type_name}`, whose values can't be read"),
        )
        .with_details(serde_json::json!({ "column": name, "type": type_name })));
    }
    let enumeration = (kind == "e").then(|| {
        Ok::<_, ConnectorError>(Enumeration {
            name: get(session, row, 7)?,
            labels: labels.get(&type_oid).cloned().unwrap_or_default(),
        })
    });
    let enumeration = enumeration.transpose()?;
    let native = if enumeration.is_some() {
        Some(Codec::Utf8)
    } else {
        Codec::native(type_oid, get(session, row, 5)?, config.numeric)
    };
    let (form, codec) = native.map_or((Form::Text, Codec::Utf8), |codec| (Form::Native, codec));
    Ok(Column {
        name,
        not_null: get(session, row, 2)?,
        generated: get(session, row, 3)?,
        column_type: ColumnType { type_name, form, codec, enumeration },
        type_oid,
        cast_type: get(session, row, 10)?,
        deterministic: get(session, row, 11)?,
    })
}

/// A catalog query. One round trip, without a named statement, so that it works through poolers.
pub(crate) async fn query(
    session: &Session,
    sql: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Row>, ConnectorError> {
    session
        .client()
        .query_typed(sql, parameters)
        .await
        .map_err(|error| session.error("reading the system catalogs", &error))
}

pub(crate) fn get<'a, T: FromSql<'a>>(
    session: &Session,
    row: &'a Row,
    index: usize,
) -> Result<T, ConnectorError> {
    row.try_get(index).map_err(|error| session.error("reading the system catalogs", &error))
}
