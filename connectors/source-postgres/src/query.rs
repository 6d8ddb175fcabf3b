//! SQL for a plan. The relation is aliased, so that `ORDER BY` and `WHERE` mean its columns and never the text forms
//! selected under the same names.

use rapidbyte_postgres::identifier::{quote, quote_list, quote_literal};

use crate::catalog::{Column, Kind, Relation};
use crate::plan::{Order, Part, Plan};
use crate::position::{CursorPosition, Position, Values};

/// Alias of the relation.
const ALIAS: &str = "r";

pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
pub(crate) const END: &str = "COMMIT";

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
    if let Some(predicate) = predicate {
        sql.push_str(" WHERE ");
        sql.push_str(&predicate);
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
    column: &Column,
    cursor: Option<(&Column, Option<&Position>)>,
) -> String {
    let mut sql = format!(
        "SELECT count(*)::int8 FROM {} AS {ALIAS} WHERE {} IS NULL",
        relation.name,
        reference(column)
    );
    if let Some((cursor, Some(Position::Cursor(CursorPosition { cursor: Some((_, text)), .. })))) = cursor {
        let cursor_name = reference(cursor);
        let literal = format!("{}::{}", quote_literal(text), cursor.cast_type);
        sql.push_str(&format!(" AND ({cursor_name} IS NULL OR {cursor_name} >= {literal})"));
    }
    sql
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
