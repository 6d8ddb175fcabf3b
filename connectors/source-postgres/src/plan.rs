//! A request and a relation → what to read, in which order, from where. Asks nothing of the server.

use arrow_schema::SchemaRef;
use rapidbyte_postgres::limits::ORDERED_REFRESH_BYTES_MIN;
use rapidbyte_postgres::types::{Codec, Form, oid};
use rapidbyte_sdk::prelude::*;

use crate::catalog::{Column, Relation};
use crate::config::FullRefreshOrder;
use crate::filter;
use crate::limits::NAMES_LISTED_MAX;
use crate::position::{CursorPosition, Position, plain_text};
use crate::range::Range;

/// What to read.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Indices of the relation's columns: first those to emit, then those read only for their order.
    pub(crate) columns: Vec<usize>,
    /// How many of them are emitted.
    pub(crate) emitted: usize,
    pub(crate) schema: SchemaRef,
    pub(crate) order: Order,
    /// Behind what to continue.
    pub(crate) position: Option<Position>,
    /// The pipeline's predicate, known to be no more than that.
    pub(crate) filter: Option<String>,
    /// The partition's part of the stream.
    pub(crate) range: Option<Range>,
}

/// In which order. Numbers are places in [`Plan::columns`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As it lies: not resumable.
    Unordered,
    /// By a key that names each record.
    Key(Vec<usize>),
    /// By a cursor, and among equal cursors by the ties.
    Cursor {
        cursor: usize,
        ties: Vec<usize>,
        /// None: cursor and ties name each record. Else, for the cursor and each tie, how to see that it changes:
        /// only there can a checkpoint stand, because equal records may follow anywhere else.
        boundaries: Option<Vec<Boundary>>,
    },
}

/// How to see in a column's bytes that its value changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boundary {
    /// Equal values are equal byte by byte.
    Bytes,
    /// The same, but for the display scale of `numeric`.
    Numeric,
    /// Different bytes may compare as equal.
    Unknown,
}

/// Which of the records a query reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    /// Those without a cursor.
    Nulls,
    /// Those with one.
    Cursors,
}

impl Plan {
    /// The queries to run, one behind the other.
    pub(crate) fn parts(&self, relation: &Relation) -> &'static [Part] {
        match &self.order {
            Order::Cursor { cursor, ties, .. }
                if !ties.is_empty() && !self.column(relation, *cursor).not_null =>
            {
                &[Part::Nulls, Part::Cursors]
            }
            Order::Cursor { .. } => &[Part::Cursors],
            Order::Unordered | Order::Key(_) => &[Part::All],
        }
    }

    /// The relation's column at a place of [`Plan::columns`].
    pub(crate) fn column<'a>(&self, relation: &'a Relation, place: usize) -> &'a Column {
        &relation.columns[self.columns[place]]
    }
}

pub(crate) fn plan(
    relation: &Relation,
    stream: &StreamContext,
    full_refresh_order: FullRefreshOrder,
    table_bytes: u64,
) -> Result<Plan, ConnectorError> {
    refuse_unsupported(stream)?;
    let columns = selected(relation, stream)?;
    let schema = relation.schema(&columns);
    agree(stream, &schema)?;
    let range = Range::of(relation, stream)?;
    let mut plan = Plan {
        emitted: columns.len(),
        columns,
        schema,
        order: Order::Unordered,
        position: None,
        filter: stream.filter.clone(),
        range,
    };
    match (stream.sync_mode, &stream.cursor) {
        (SyncMode::Incremental, Some(cursor)) => by_cursor(&mut plan, relation, stream, cursor)?,
        (SyncMode::Incremental, None) => {
            return Err(ConnectorError::config(
                "cursor_field",
                format!("stream `{}` is incremental: name the column to order it by", stream.name),
            ));
        }
        (SyncMode::FullRefresh | SyncMode::Cdc, _) => {
            let wanted = match full_refresh_order {
                FullRefreshOrder::Always => true,
                FullRefreshOrder::Never => false,
                FullRefreshOrder::Auto => {
                    // A range over anything else would have to be sorted: it is read again instead.
                    let sorted = plan.range.as_ref().is_none_or(|range| range.field.leads_key(relation));
                    sorted && table_bytes >= ORDERED_REFRESH_BYTES_MIN
                }
            };
            // A position has to be honoured, whatever is wanted now: what lies before it has been written.
            if stream.position.is_some() || (wanted && !relation.primary_key.is_empty()) {
                by_key(&mut plan, relation, stream)?;
            }
        }
    }
    Ok(plan)
}

fn refuse_unsupported(stream: &StreamContext) -> Result<(), ConnectorError> {
    let refused = |field: &str, what: &str| {
        Err(ConnectorError::config(field, format!("stream `{}`: this source does not {what}", stream.name)))
    };
    if stream.sync_mode == SyncMode::Cdc {
        return refused("sync_mode", "follow changes (cdc); use `full_refresh` or `incremental`");
    }
    stream.filter.as_deref().map_or(Ok(()), |predicate| filter::check(&stream.name, predicate))
}

/// The columns to emit.
fn selected(relation: &Relation, stream: &StreamContext) -> Result<Vec<usize>, ConnectorError> {
    if stream.columns.is_empty() {
        return Ok((0..relation.columns.len()).collect());
    }
    let mut columns = Vec::with_capacity(stream.columns.len());
    for name in &stream.columns {
        let index = find(relation, stream, name)?;
        if columns.contains(&index) {
            return Err(ConnectorError::config(
                "columns",
                format!("stream `{}`: column `{name}` is selected twice", stream.name),
            ));
        }
        columns.push(index);
    }
    Ok(columns)
}

pub(crate) fn find(relation: &Relation, stream: &StreamContext, name: &str) -> Result<usize, ConnectorError> {
    relation.column_index(name).ok_or_else(|| {
        let columns = list(relation.columns.iter().map(|column| column.name.as_str()));
        ConnectorError::schema(
            "column_missing",
            format!("stream `{}` has no column `{name}`; it has {columns}", stream.name),
        )
        .with_details(serde_json::json!({ "stream": stream.name, "column": name }))
    })
}

/// Names for a message.
pub(crate) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    let more = names.len().saturating_sub(NAMES_LISTED_MAX);
    let mut text = names[..names.len() - more].join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// What the host planned with must still be true.
fn agree(stream: &StreamContext, schema: &SchemaRef) -> Result<(), ConnectorError> {
    for planned in stream.schema.fields() {
        if let Ok(field) = schema.field_with_name(planned.name())
            && field.data_type() != planned.data_type()
        {
            return Err(ConnectorError::schema(
                "type_changed",
                format!(
                    "column `{}` of stream `{}` is now `{}` and was `{}` when the run was planned: run it again",
                    field.name(),
                    stream.name,
                    field.data_type(),
                    planned.data_type()
                ),
            ));
        }
    }
    Ok(())
}

/// The place of a column among those read; read for its order alone if it is not emitted.
fn place(plan: &mut Plan, index: usize) -> usize {
    plan.columns.iter().position(|column| *column == index).unwrap_or_else(|| {
        plan.columns.push(index);
        plan.columns.len() - 1
    })
}

fn by_key(plan: &mut Plan, relation: &Relation, stream: &StreamContext) -> Result<(), ConnectorError> {
    let places = relation.primary_key.iter().map(|index| place(plan, *index)).collect::<Vec<_>>();
    if let Some(value) = &stream.position {
        let CursorValue::Json(text) = value else {
            return Err(not_ours(stream, "it is not a position of a full refresh"));
        };
        let position = Position::from_json(text).map_err(|reason| not_ours(stream, &reason))?;
        let Position::Key(key) = &position else {
            return Err(not_ours(stream, "it is a position of an incremental read"));
        };
        let names = places.iter().map(|place| plan.column(relation, *place).name.as_str());
        if !names.eq(key.iter().map(|(name, _)| name.as_str())) {
            return Err(not_ours(stream, "the primary key has changed since"));
        }
        plan.position = Some(position);
    }
    plan.order = Order::Key(places);
    Ok(())
}

fn by_cursor(
    plan: &mut Plan,
    relation: &Relation,
    stream: &StreamContext,
    spec: &CursorSpec,
) -> Result<(), ConnectorError> {
    let cursor_index = find(relation, stream, &spec.field)?;
    let column = &relation.columns[cursor_index];
    if !column.is_cursor() {
        let fields = relation.columns.iter().filter(|column| column.is_cursor());
        return Err(ConnectorError::config(
            "cursor_field",
            format!(
                "stream `{}`: column `{}` of type `{}` can't order an incremental read; these can: {}",
                stream.name,
                spec.field,
                column.column_type.type_name,
                list(fields.map(|column| column.name.as_str()))
            ),
        ));
    }
    let tie_indices = if spec.tie_breaker.is_empty() {
        relation.primary_key.clone()
    } else {
        spec.tie_breaker.iter().map(|name| find(relation, stream, name)).collect::<Result<Vec<_>, _>>()?
    };
    let cursor = place(plan, cursor_index);
    let mut ties: Vec<usize> = Vec::with_capacity(tie_indices.len());
    for index in tie_indices {
        let place = place(plan, index);
        if place != cursor && !ties.contains(&place) {
            ties.push(place);
        }
    }
    plan.position = stream
        .position
        .as_ref()
        .map(|value| cursor_position(plan, relation, stream, cursor, &ties, value))
        .transpose()?
        .map(Position::Cursor);
    let names_each = !relation.primary_key.is_empty()
        && relation.primary_key.iter().all(|index| {
            let is = |place: &usize| plan.columns[*place] == *index;
            is(&cursor) || ties.iter().any(is)
        });
    let boundaries = (!names_each).then(|| {
        let places = std::iter::once(&cursor).chain(&ties);
        places.map(|place| boundary(plan.column(relation, *place))).collect()
    });
    plan.order = Order::Cursor { cursor, ties, boundaries };
    Ok(())
}

/// Checks a saved position against today's cursor and ties.
fn cursor_position(
    plan: &Plan,
    relation: &Relation,
    stream: &StreamContext,
    cursor: usize,
    ties: &[usize],
    value: &CursorValue,
) -> Result<CursorPosition, ConnectorError> {
    let column = plan.column(relation, cursor);
    let CursorValue::Json(text) = value else {
        let text = plain_text(value, column.column_type.codec).ok_or_else(|| {
            let kind = value.type_name();
            not_ours(stream, &format!("a {kind} is no `{}`", column.column_type.type_name))
        })?;
        return Ok(CursorPosition { cursor: Some((column.name.clone(), text)), ..CursorPosition::default() });
    };
    let Position::Cursor(position) = Position::from_json(text).map_err(|reason| not_ours(stream, &reason))?
    else {
        return Err(not_ours(stream, "it is a position of a full refresh"));
    };
    if let Some((name, _)) = &position.cursor
        && *name != column.name
    {
        return Err(not_ours(stream, &format!("it is over column `{name}`")));
    }
    let names: Vec<&str> = ties.iter().map(|tie| plan.column(relation, *tie).name.as_str()).collect();
    for values in [&position.tie, &position.nulls] {
        if !values.is_empty() && !names.iter().copied().eq(values.iter().map(|(name, _)| name.as_str())) {
            return Err(not_ours(stream, "the tie-breaker has changed since"));
        }
    }
    Ok(position)
}

fn boundary(column: &Column) -> Boundary {
    if column.column_type.form == Form::Text {
        return Boundary::Unknown;
    }
    match column.column_type.codec {
        Codec::Bool
        | Codec::Int16
        | Codec::Int32
        | Codec::Int64
        | Codec::UInt32
        | Codec::Date
        | Codec::Time
        | Codec::Timestamp
        | Codec::TimestampTz
        | Codec::Uuid
        | Codec::Binary
        | Codec::Money => Boundary::Bytes,
        Codec::Utf8 if column.deterministic && column.type_oid != oid::BPCHAR => Boundary::Bytes,
        Codec::NumericText | Codec::NumericDecimal { .. } => Boundary::Numeric,
        // 0 and -0, a day and 24 hours, padding, JSON's numbers.
        Codec::Float32 | Codec::Float64 | Codec::Interval | Codec::Utf8 | Codec::Json | Codec::Jsonb => {
            Boundary::Unknown
        }
    }
}

/// The saved position does not belong to what is to be read.
fn not_ours(stream: &StreamContext, reason: &str) -> ConnectorError {
    ConnectorError::config(
        "cursor_field",
        format!(
            "stream `{}`: the saved position does not fit, {reason}: reset it with `rapidbyte state reset`",
            stream.name
        ),
    )
    .with_code("position_mismatch")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::{DataType, Field, Schema};
    use rapidbyte_postgres::identifier::QualifiedName;
    use rapidbyte_postgres::types::{ColumnType, NumericMode};

    use super::*;
    use crate::catalog::Kind;

    fn column(name: &str, type_oid: u32, not_null: bool) -> Column {
        let codec = Codec::native(type_oid, -1, NumericMode::Text);
        Column {
            name: name.to_owned(),
            not_null,
            generated: false,
            column_type: ColumnType {
                type_name: format!("type {type_oid}"),
                form: if codec.is_some() { Form::Native } else { Form::Text },
                codec: codec.unwrap_or(Codec::Utf8),
                enumeration: None,
            },
            type_oid,
            cast_type: "any".to_owned(),
            deterministic: true,
        }
    }

    fn orders() -> Relation {
        Relation {
            oid: 1,
            name: QualifiedName::new("public", "orders"),
            kind: Kind::Table,
            columns: vec![
                column("id", oid::INT8, true),
                column("at", oid::TIMESTAMPTZ, false),
                column("note", oid::TEXT, false),
                column("document", oid::JSON, false),
            ],
            primary_key: vec![0],
            estimated_rows: None,
            estimated_bytes: None,
        }
    }

    fn stream() -> StreamContext {
        StreamContext::new("orders", Arc::new(Schema::empty()))
    }

    fn incremental(field: &str, tie_breaker: &[&str]) -> StreamContext {
        let tie_breaker = tie_breaker.iter().map(|name| (*name).to_owned()).collect();
        StreamContext {
            sync_mode: SyncMode::Incremental,
            cursor: Some(CursorSpec { field: field.to_owned(), tie_breaker }),
            ..stream()
        }
    }

    fn slice(field: &str, lower: CursorValue) -> StreamContext {
        let range = PartitionRange { field: field.to_owned(), lower: Some(lower), upper: None, nulls: false };
        let partition = Partition { index: 1, count: 2, range: Some(range), floor: 0 };
        StreamContext { partition, ..stream() }
    }

    fn code(stream: &StreamContext) -> String {
        plan(&orders(), stream, FullRefreshOrder::Auto, 0).unwrap_err().code
    }

    #[test]
    fn full_refreshes_are_ordered_when_it_pays() {
        let relation = orders();
        let order = |order, bytes| plan(&relation, &stream(), order, bytes).unwrap().order;
        assert_eq!(order(FullRefreshOrder::Auto, 0), Order::Unordered);
        assert_eq!(order(FullRefreshOrder::Auto, ORDERED_REFRESH_BYTES_MIN), Order::Key(vec![0]));
        assert_eq!(order(FullRefreshOrder::Always, 0), Order::Key(vec![0]));
        assert_eq!(order(FullRefreshOrder::Never, u64::MAX), Order::Unordered);
        let keyless = Relation { primary_key: Vec::new(), ..orders() };
        let plan = plan(&keyless, &stream(), FullRefreshOrder::Always, 0).unwrap();
        assert_eq!(plan.order, Order::Unordered);
    }

    #[test]
    fn ranges_are_ordered_where_the_key_leads() {
        let order = |field: &str, value| {
            plan(&orders(), &slice(field, value), FullRefreshOrder::Auto, u64::MAX).unwrap().order
        };
        assert_eq!(order("id", CursorValue::Int64(5)), Order::Key(vec![0]));
        assert_eq!(order("note", CursorValue::Utf8("m".to_owned())), Order::Unordered);
    }

    #[test]
    fn a_position_is_honoured_whatever_the_order_is_now() {
        let position = Some(CursorValue::Json(r#"{"v":1,"key":[["id","5"]]}"#.to_owned()));
        let stream = StreamContext { position, ..stream() };
        let plan = plan(&orders(), &stream, FullRefreshOrder::Never, 0).unwrap();
        assert_eq!(plan.order, Order::Key(vec![0]));
        assert_eq!(plan.position, Some(Position::Key(vec![("id".to_owned(), "5".to_owned())])));
    }

    #[test]
    fn columns_of_the_order_are_read_behind_those_emitted() {
        let stream = StreamContext { columns: vec!["note".to_owned()], ..incremental("at", &[]) };
        let plan = plan(&orders(), &stream, FullRefreshOrder::Auto, 0).unwrap();
        assert_eq!((plan.columns.as_slice(), plan.emitted), (&[2, 1, 0][..], 1));
        assert_eq!(plan.order, Order::Cursor { cursor: 1, ties: vec![2], boundaries: None });
        assert_eq!(plan.parts(&orders()), [Part::Nulls, Part::Cursors]);
        assert_eq!(plan.schema.fields().len(), 1);
    }

    #[test]
    fn a_cursor_that_is_the_key_needs_no_tie() {
        let plan = plan(&orders(), &incremental("id", &["id"]), FullRefreshOrder::Auto, 0).unwrap();
        assert_eq!(plan.order, Order::Cursor { cursor: 0, ties: vec![], boundaries: None });
        assert_eq!(plan.parts(&orders()), [Part::Cursors]);
    }

    #[test]
    fn an_order_that_may_not_name_each_record_has_boundaries() {
        let plan = plan(&orders(), &incremental("at", &["note"]), FullRefreshOrder::Auto, 0).unwrap();
        let boundaries = Some(vec![Boundary::Bytes, Boundary::Bytes]);
        assert_eq!(plan.order, Order::Cursor { cursor: 1, ties: vec![2], boundaries });
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(code(&incremental("nowhere", &[])), "column_missing");
        assert_eq!(code(&incremental("document", &[])), "invalid_config");
        assert_eq!(code(&incremental("at", &["nowhere"])), "column_missing");
        assert_eq!(code(&StreamContext { cursor: None, ..incremental("at", &[]) }), "invalid_config");
        assert_eq!(code(&StreamContext { columns: vec!["x".into()], ..stream() }), "column_missing");
        assert_eq!(
            code(&StreamContext { columns: vec!["id".into(), "id".into()], ..stream() }),
            "invalid_config"
        );
        assert_eq!(code(&StreamContext { filter: Some("id > 1; x".into()), ..stream() }), "filter_refused");
        assert_eq!(code(&StreamContext { sync_mode: SyncMode::Cdc, ..stream() }), "invalid_config");
        let partition = Partition { index: 1, count: 2, ..Partition::WHOLE };
        assert_eq!(code(&StreamContext { partition, ..stream() }), "no_range");
        assert_eq!(code(&slice("nowhere", CursorValue::Int64(5))), "column_missing");
        assert_eq!(code(&slice("id", CursorValue::Lsn(5))), "range_mismatch");
        assert_eq!(code(&slice("ctid", CursorValue::Utf8("(5,0)".into()))), "ranges_gone");
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)]));
        assert_eq!(code(&StreamContext { schema, ..stream() }), "type_changed");
    }

    #[test]
    fn positions_of_another_order_are_refused() {
        for (stream, position) in [
            (stream(), CursorValue::Int64(5)),
            (stream(), CursorValue::Json(r#"{"v":1,"key":[["old","5"]]}"#.into())),
            (stream(), CursorValue::Json(r#"{"v":1,"cursor":["at","x"]}"#.into())),
            (incremental("at", &[]), CursorValue::Json(r#"{"v":1,"key":[["id","5"]]}"#.into())),
            (incremental("at", &[]), CursorValue::Json(r#"{"v":1,"cursor":["id","5"]}"#.into())),
            (
                incremental("at", &[]),
                CursorValue::Json(r#"{"v":1,"cursor":["at","x"],"tie":[["o","5"]]}"#.into()),
            ),
            (
                incremental("id", &[]),
                CursorValue::Json(r#"{"v":1,"cursor":["id","5"],"tie":[["x","5"]]}"#.into()),
            ),
            (incremental("id", &[]), CursorValue::TimestampMicros(5)),
        ] {
            let stream = StreamContext { position: Some(position.clone()), ..stream };
            assert_eq!(code(&stream), "position_mismatch", "{position:?}");
        }
    }
}
