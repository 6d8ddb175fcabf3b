//! SQL for a plan. The relation is aliased, so that `ORDER BY` and `WHERE` mean its columns and never the text forms
//! selected under the same names.

use rapidbyte_postgres::identifier::{quote, quote_list, quote_literal};

use crate::catalog::{Column, Kind, Relation};
use crate::plan::{Order, Part, Plan};
use crate::position::{CursorPosition, Position, Values};
use crate::range::{Field, Range, TID};

/// Alias of the relation.
const ALIAS: &str = "r";

pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
pub(crate) const END: &str = "COMMIT";

/// Takes the moment that another session holds open for that of this transaction.
pub(crate) fn import(snapshot: &str) -> String {
    format!("SET TRANSACTION SNAPSHOT {}", quote_literal(snapshot))
}

/// Keeps the relation from being truncated or rewritten, which no snapshot outlives.
pub(crate) fn lock(relation: &Relation) -> String {
    format!("LOCK TABLE {} IN ACCESS SHARE MODE", relation.name)
}

/// Reads nothing: the server parses and plans the predicate, and locks the relation as by [`lock`].
pub(crate) fn probe(relation: &Relation, filter: Option<&str>) -> String {
    let predicate = filter.map(|filter| format!(" WHERE ({filter})")).unwrap_or_default();
    format!("SELECT FROM {} AS {ALIAS}{predicate} LIMIT 0", relation.name)
}

/// The values of a column at which to cut a sample of `percent` of the relation's blocks into `count` parts of as many
/// records, behind the least of them. NULL is less than any value; where NULLs fill more than a part, the values are cut
/// off from them.
pub(crate) fn boundaries(
    relation: &Relation,
    column: &Column,
    filter: Option<&str>,
    percent: f64,
    count: u32,
) -> String {
    let predicate = filter.map(|filter| format!(" WHERE ({filter})")).unwrap_or_default();
    format!(
        "WITH sample AS (SELECT {value} AS v FROM {relation} AS {ALIAS} TABLESAMPLE SYSTEM ({percent}) REPEATABLE (0){predicate}), \
         lowest AS (SELECT v FROM sample WHERE v IS NOT NULL ORDER BY v LIMIT 1), \
         tiles AS (SELECT v, pg_catalog.ntile({count}) OVER (ORDER BY v NULLS FIRST) AS n FROM sample), \
         heads AS (SELECT DISTINCT ON (n) n, v FROM tiles ORDER BY n, v NULLS FIRST), \
         cuts AS (SELECT DISTINCT CASE WHEN n > 1 THEN coalesce(v, (SELECT v FROM lowest)) ELSE v END AS v FROM heads) \
         SELECT v::text FROM cuts ORDER BY cuts.v NULLS FIRST",
        value = reference(column),
        relation = relation.name,
    )
}

/// `COPY … TO STDOUT` of one part.
pub(crate) fn copy(
    relation: &Relation,
    plan: &Plan,
    part: Part,
    position: Option<&Position>,
    limit: Option<u64>,
) -> String {
    let columns = || plan.columns.iter().map(|index| &relation.columns[*index]);
    let by_name = relation.kind == Kind::Table
        && plan.order == Order::Unordered
        && limit.is_none()
        && plan.filter.is_none()
        && plan.range.is_none()
        && !plan.columns.is_empty()
        && columns().all(|column| !column.is_read_as_text() && !column.generated);
    let source = if by_name {
        // Spares the executor.
        format!("{} ({})", relation.name, quote_list(columns().map(|column| &column.name)))
    } else {
        format!("({})", select(relation, plan, part, position, limit))
    };
    format!("COPY {source} TO STDOUT (FORMAT binary)")
}

/// The query of one part.
pub(crate) fn select(
    relation: &Relation,
    plan: &Plan,
    part: Part,
    position: Option<&Position>,
    limit: Option<u64>,
) -> String {
    let mut list = Vec::with_capacity(plan.columns.len());
    for index in &plan.columns {
        let column = &relation.columns[*index];
        let cast = if column.is_read_as_text() { "::text" } else { "" };
        list.push(format!("{}{cast}", reference(column)));
    }
    let mut sql = format!("SELECT {} FROM {} AS {ALIAS}", list.join(", "), relation.name);
    let (predicate, order) = part_of(relation, plan, part, position);
    let predicates: Vec<String> = conditions(relation, plan).chain(predicate).collect();
    if !predicates.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&predicates.join(" AND "));
    }
    if !order.is_empty() {
        let names: Vec<String> = order.iter().map(|column| reference(column)).collect();
        sql.push_str(" ORDER BY ");
        sql.push_str(&names.join(", "));
    }
    if let Some(limit) = limit {
        sql.push_str(&format!(" LIMIT {limit}"));
    }
    sql
}

/// How many records have no value in `column`; with a cursor, only among those that are not behind it already.
pub(crate) fn count_nulls(
    relation: &Relation,
    plan: &Plan,
    column: &Column,
    cursor: Option<&Column>,
) -> String {
    let mut sql = format!(
        "SELECT count(*)::int8 FROM {} AS {ALIAS} WHERE {} IS NULL",
        relation.name,
        reference(column)
    );
    for condition in conditions(relation, plan) {
        sql.push_str(" AND ");
        sql.push_str(&condition);
    }
    if let Some(cursor) = cursor
        && let Some(Position::Cursor(CursorPosition { cursor: Some((_, text)), .. })) = &plan.position
    {
        let cursor_name = reference(cursor);
        let literal = format!("{}::{}", quote_literal(text), cursor.cast_type);
        sql.push_str(&format!(" AND ({cursor_name} IS NULL OR {cursor_name} >= {literal})"));
    }
    sql
}

/// What holds for every part: the filter and the range.
fn conditions(relation: &Relation, plan: &Plan) -> impl Iterator<Item = String> {
    let filter = plan.filter.as_ref().map(|filter| format!("({filter})"));
    let range = plan.range.as_ref().and_then(|range| within(relation, range));
    filter.into_iter().chain(range)
}

/// None: every record is within the range.
fn within(relation: &Relation, range: &Range) -> Option<String> {
    let (name, cast_type, has_nulls) = match range.field {
        Field::Tid => (format!("{ALIAS}.{TID}"), "tid", false),
        Field::Column(index) => {
            let column = &relation.columns[index];
            (reference(column), column.cast_type.as_str(), !column.not_null)
        }
    };
    let bound = |operator: &str, text: &Option<String>| {
        text.as_ref().map(|text| format!("{name} {operator} {}::{cast_type}", quote_literal(text)))
    };
    let bounds: Vec<String> =
        [bound(">=", &range.lower), bound("<", &range.upper)].into_iter().flatten().collect();
    match (bounds.is_empty(), range.nulls && has_nulls) {
        (true, true) => None,
        (true, false) => has_nulls.then(|| format!("{name} IS NOT NULL")),
        (false, true) => Some(format!("({} OR {name} IS NULL)", bounds.join(" AND "))),
        (false, false) => Some(bounds.join(" AND ")),
    }
}

/// Condition and order of one part.
fn part_of<'a>(
    relation: &'a Relation,
    plan: &Plan,
    part: Part,
    position: Option<&Position>,
) -> (Option<String>, Vec<&'a Column>) {
    match (&plan.order, position) {
        (Order::Unordered, _) => (None, Vec::new()),
        (Order::Key(key), position) => {
            let columns: Vec<&Column> = key.iter().map(|place| plan.column(relation, *place)).collect();
            let behind = match position {
                Some(Position::Key(values)) => Some(behind(&columns, values)),
                _ => None,
            };
            (behind, columns)
        }
        (Order::Cursor { cursor, ties, .. }, position) => {
            let cursor = plan.column(relation, *cursor);
            let ties: Vec<&Column> = ties.iter().map(|place| plan.column(relation, *place)).collect();
            let from = match position {
                Some(Position::Cursor(position)) => Some(position),
                _ => None,
            };
            if part == Part::Nulls { nulls(cursor, ties, from) } else { cursors(cursor, ties, from) }
        }
    }
}

fn nulls<'a>(
    cursor: &Column,
    ties: Vec<&'a Column>,
    from: Option<&CursorPosition>,
) -> (Option<String>, Vec<&'a Column>) {
    let mut predicate = format!("{} IS NULL", reference(cursor));
    if let Some(values) = from.map(|position| &position.nulls).filter(|values| !values.is_empty()) {
        predicate.push_str(" AND ");
        predicate.push_str(&behind(&ties, values));
    }
    (Some(predicate), ties)
}

fn cursors<'a>(
    cursor: &'a Column,
    ties: Vec<&'a Column>,
    from: Option<&CursorPosition>,
) -> (Option<String>, Vec<&'a Column>) {
    let mut columns = vec![cursor];
    columns.extend(ties);
    let predicate = match from.and_then(|position| Some((position.cursor.clone()?, &position.tie))) {
        Some((value, tie)) => {
            let values: Values = std::iter::once(value).chain(tie.iter().cloned()).collect();
            // Without the values of the ties, everything at the cursor has been read.
            behind(&columns[..values.len().min(columns.len())], &values)
        }
        None => format!("{} IS NOT NULL", reference(cursor)),
    };
    (Some(predicate), columns)
}

/// `(a, b) > (x, y)`: compares as `ORDER BY a, b` does, collations included.
fn behind(columns: &[&Column], values: &[(String, String)]) -> String {
    let names: Vec<String> = columns.iter().map(|column| reference(column)).collect();
    let literals: Vec<String> = columns
        .iter()
        .zip(values)
        .map(|(column, (_, text))| format!("{}::{}", quote_literal(text), column.cast_type))
        .collect();
    if names.len() == 1 {
        format!("{} > {}", names.concat(), literals.concat())
    } else {
        format!("({}) > ({})", names.join(", "), literals.join(", "))
    }
}

fn reference(column: &Column) -> String {
    format!("{ALIAS}.{}", quote(&column.name))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::Schema;
    use rapidbyte_postgres::identifier::QualifiedName;
    use rapidbyte_postgres::types::{Codec, ColumnType, Form};

    use super::*;

    fn column(name: &str, cast_type: &str, form: Form) -> Column {
        Column {
            name: name.to_owned(),
            not_null: true,
            generated: false,
            column_type: ColumnType {
                type_name: cast_type.to_owned(),
                form,
                codec: Codec::Utf8,
                enumeration: None,
            },
            type_oid: 0,
            cast_type: cast_type.to_owned(),
            deterministic: true,
        }
    }

    fn table() -> Relation {
        Relation {
            oid: 1,
            name: QualifiedName::new("public", "Order"),
            kind: Kind::Table,
            columns: vec![
                column("id", "bigint", Form::Native),
                column("at", "timestamp with time zone", Form::Native),
                column("address", "inet", Form::Text),
            ],
            primary_key: vec![0],
            estimated_rows: None,
            estimated_bytes: None,
        }
    }

    fn plan(columns: &[usize], order: Order) -> Plan {
        Plan {
            columns: columns.to_vec(),
            emitted: columns.len(),
            schema: Arc::new(Schema::empty()),
            order,
            position: None,
            filter: None,
            range: None,
        }
    }

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_plain_table_is_copied_by_name() {
        let relation = table();
        let unordered = plan(&[1, 0], Order::Unordered);
        assert_eq!(
            copy(&relation, &unordered, Part::All, None, None),
            r#"COPY "public"."Order" ("at", "id") TO STDOUT (FORMAT binary)"#
        );
        let with_text = plan(&[0, 2], Order::Unordered);
        assert_eq!(
            copy(&relation, &with_text, Part::All, None, Some(5)),
            r#"COPY (SELECT r."id", r."address"::text FROM "public"."Order" AS r LIMIT 5) TO STDOUT (FORMAT binary)"#
        );
        let view = Relation { kind: Kind::Other, ..table() };
        assert!(copy(&view, &unordered, Part::All, None, None).starts_with("COPY (SELECT"));
    }

    #[test]
    fn filter_and_range_hold_for_every_query() {
        let nullable = |name: &str| Column { not_null: false, ..column(name, "text", Form::Native) };
        let relation =
            Relation { columns: vec![nullable("a"), column("b", "bigint", Form::Native)], ..table() };
        let range = |field, lower: Option<&str>, upper: Option<&str>, nulls| {
            let bound = |text: Option<&str>| text.map(str::to_owned);
            Range { field, lower: bound(lower), upper: bound(upper), nulls }
        };
        let (a, b) = (Field::Column(0), Field::Column(1));
        for (range, expected) in [
            (range(a, None, None, true), ""),
            (range(a, None, None, false), r#" AND r."a" IS NOT NULL"#),
            (range(a, None, Some("m"), true), r#" AND (r."a" < 'm'::text OR r."a" IS NULL)"#),
            (range(a, Some("m"), None, false), r#" AND r."a" >= 'm'::text"#),
            (range(b, Some("-5"), Some("7"), true), r#" AND r."b" >= '-5'::bigint AND r."b" < '7'::bigint"#),
            (range(b, None, None, false), ""),
            (range(Field::Tid, Some("(5,0)"), None, false), " AND r.ctid >= '(5,0)'::tid"),
        ] {
            let filter = Some("a = 'x' OR b > 1".to_owned());
            let plan = Plan { filter, range: Some(range), ..plan(&[1], Order::Key(vec![0])) };
            let position = Position::Key(values(&[("b", "3")]));
            assert_eq!(
                copy(&relation, &plan, Part::All, Some(&position), None),
                format!(
                    r#"COPY (SELECT r."b" FROM "public"."Order" AS r WHERE (a = 'x' OR b > 1){expected} AND r."b" > '3'::bigint ORDER BY r."b") TO STDOUT (FORMAT binary)"#
                )
            );
            let counted = count_nulls(&relation, &plan, &relation.columns[0], None);
            assert!(
                counted.ends_with(&format!(r#"r."a" IS NULL AND (a = 'x' OR b > 1){expected}"#)),
                "{counted}"
            );
        }
        let plan = Plan { filter: Some("true".to_owned()), ..plan(&[1], Order::Unordered) };
        assert!(copy(&relation, &plan, Part::All, None, None).contains("WHERE (true))"));
    }

    #[test]
    fn keys_continue_behind_the_position() {
        let order = Order::Key(vec![1, 0]);
        let position = Position::Key(values(&[("address", "::1"), ("id", "5")]));
        assert_eq!(
            select(&table(), &plan(&[0, 2], order), Part::All, Some(&position), None),
            r#"SELECT r."id", r."address"::text FROM "public"."Order" AS r WHERE (r."address", r."id") > ('::1'::inet, '5'::bigint) ORDER BY r."address", r."id""#
        );
    }

    #[test]
    fn cursors_continue_behind_the_position_and_nulls_behind_theirs() {
        let order = Order::Cursor { cursor: 1, ties: vec![0], boundaries: None };
        let plan = plan(&[0, 1], order);
        let tail = |part, position: Option<&Position>| {
            let sql = select(&table(), &plan, part, position, None);
            sql.split_once(" WHERE ").map(|(_, tail)| tail.to_owned()).unwrap_or_default()
        };
        assert_eq!(tail(Part::Cursors, None), r#"r."at" IS NOT NULL ORDER BY r."at", r."id""#);
        assert_eq!(tail(Part::Nulls, None), r#"r."at" IS NULL ORDER BY r."id""#);
        let mut position = CursorPosition {
            cursor: Some(("at".to_owned(), "infinity".to_owned())),
            tie: values(&[("id", "5")]),
            nulls: values(&[("id", "7")]),
        };
        let both = Position::Cursor(position.clone());
        assert_eq!(
            tail(Part::Cursors, Some(&both)),
            r#"(r."at", r."id") > ('infinity'::timestamp with time zone, '5'::bigint) ORDER BY r."at", r."id""#
        );
        assert_eq!(
            tail(Part::Nulls, Some(&both)),
            r#"r."at" IS NULL AND r."id" > '7'::bigint ORDER BY r."id""#
        );
        position.tie.clear();
        assert_eq!(
            tail(Part::Cursors, Some(&Position::Cursor(position))),
            r#"r."at" > 'infinity'::timestamp with time zone ORDER BY r."at", r."id""#
        );
    }
}
