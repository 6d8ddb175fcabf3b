//! `SELECT … FROM input`: which queries a stream that passes once can answer, and how.

use std::collections::HashSet;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, LimitClause, ObjectName, ObjectNamePart, OrderByKind, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor,
};

use crate::problem::{Problem, duplicate};
use crate::text::{self, Resolver};

/// What the stream is called in a query.
pub(crate) const INPUT: &str = "input";

/// A checked query whose names are those of the schema.
pub(crate) fn prepare(sql: &str, schema: &SchemaRef) -> Result<Query, Problem> {
    let mut query = text::query(sql)?;
    let columns: Vec<String> = schema.fields().iter().map(|it| it.name().clone()).collect();
    let ordered = match &query.order_by {
        Some(order) => {
            !matches!(&order.kind, OrderByKind::Expressions(expressions) if expressions.is_empty())
        }
        None => false,
    };
    refuse_around(&query, ordered)?;
    let SetExpr::Select(select) = query.body.as_mut() else {
        let (code, what) = match query.body.as_ref() {
            SetExpr::SetOperation { op, .. } => {
                ("sql_unsupported", format!("`{op}` would read the stream twice"))
            }
            SetExpr::Values(_) => ("sql_unsupported", "`VALUES` has nothing of the stream".to_owned()),
            _ => ("sql_unsupported", "only one plain `SELECT` is possible".to_owned()),
        };
        return Err(Problem::new(code, what).hint("a query here has the form `SELECT … FROM input`"));
    };
    refuse_in(select)?;
    let tables = only_input(select)?;
    let aliases = results(select, &tables)?;
    Resolver { columns: &columns, aliases, tables }.apply(&mut query)?;
    Ok(query)
}

fn unsupported(what: &str) -> Problem {
    Problem::new("sql_unsupported", format!("{what} is not possible over a stream"))
}

fn refuse_around(query: &Query, ordered: bool) -> Result<(), Problem> {
    if query.with.is_some() {
        return Err(
            unsupported("`WITH`").hint("write the queries as several `sql` operations, one after the other")
        );
    }
    let odd = [
        (!query.locks.is_empty(), "`FOR UPDATE`"),
        (query.for_clause.is_some(), "`FOR`"),
        (query.settings.is_some(), "`SETTINGS`"),
        (query.format_clause.is_some(), "`FORMAT`"),
        (!query.pipe_operators.is_empty(), "`|>`"),
    ];
    if let Some((_, what)) = odd.iter().find(|(it, _)| *it) {
        return Err(unsupported(what));
    }
    let limited = match &query.limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, limit_by }) => {
            limit.is_some() || offset.is_some() || !limit_by.is_empty()
        }
        Some(LimitClause::OffsetCommaLimit { .. }) => true,
        None => query.fetch.is_some(),
    };
    if limited && !ordered {
        return Err(Problem::new(
            "sql_nondeterministic",
            "`LIMIT` without `ORDER BY` keeps other rows in every run",
        )
        .hint("say which rows come first with `ORDER BY`"));
    }
    Ok(())
}

fn refuse_in(select: &Select) -> Result<(), Problem> {
    let odd = [
        (select.top.is_some(), "`TOP`"),
        (select.into.is_some(), "`INTO`"),
        (!select.lateral_views.is_empty(), "`LATERAL VIEW`"),
        (select.prewhere.is_some(), "`PREWHERE`"),
        (!select.connect_by.is_empty(), "`CONNECT BY`"),
        (!select.cluster_by.is_empty(), "`CLUSTER BY`"),
        (!select.distribute_by.is_empty(), "`DISTRIBUTE BY`"),
        (!select.sort_by.is_empty(), "`SORT BY`"),
        (select.value_table_mode.is_some(), "`AS STRUCT`"),
        (matches!(select.distinct, Some(Distinct::On(_))), "`DISTINCT ON`"),
        (matches!(&select.group_by, GroupByExpr::Expressions(_, more) if !more.is_empty()), "`WITH ROLLUP`"),
        (select.projection.is_empty(), "a `SELECT` of nothing"),
    ];
    match odd.iter().find(|(it, _)| *it) {
        Some((_, what)) => Err(unsupported(what)),
        None => Ok(()),
    }
}

/// The one table is `input`; answers what it is called in the query, and takes the alias away.
fn only_input(select: &mut Select) -> Result<Vec<String>, Problem> {
    let joins = "a stream is transformed on its own; join in the destination, or with `rapidbyte query` over the cache";
    let table = match select.from.as_mut_slice() {
        [table] if table.joins.is_empty() => table,
        [] => {
            return Err(
                Problem::new("sql_table", "the query reads nothing").hint("write `SELECT … FROM input`")
            );
        }
        _ => return Err(Problem::new("sql_join", "a stream cannot be joined").hint(joins)),
    };
    match &mut table.relation {
        TableFactor::Table { name, alias, args: None, sample: None, version: None, .. } => {
            let written = name.to_string();
            if !matches!(name.0.as_slice(), [ObjectNamePart::Identifier(it)] if it.value.eq_ignore_ascii_case(INPUT))
            {
                return Err(Problem::new("sql_table", format!("there is no table `{written}`"))
                    .hint("the stream is called `input`: `SELECT … FROM input`"));
            }
            *name = ObjectName(vec![ObjectNamePart::Identifier(Ident::with_quote('"', INPUT))]);
            let mut called = vec![INPUT.to_owned()];
            if let Some(alias) = alias.take() {
                if !alias.columns.is_empty() {
                    return Err(unsupported("naming columns behind the table"));
                }
                called = vec![alias.name.value];
            }
            Ok(called)
        }
        TableFactor::Derived { .. } => Err(Problem::new("sql_subquery", "a query in `FROM` is not possible")
            .hint("write the inner query as an operation of its own before this one")),
        _ => Err(Problem::new("sql_table", "only the table `input` can be read")
            .hint("write `SELECT … FROM input`")),
    }
}

/// What the query calls its results; each computed one has to have a name.
fn results(select: &mut Select, tables: &[String]) -> Result<Vec<String>, Problem> {
    let mut names = Vec::new();
    for item in &mut select.projection {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => names.push(alias.value.clone()),
            SelectItem::UnnamedExpr(Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => {}
            SelectItem::UnnamedExpr(expression) => {
                return Err(Problem::new(
                    "unnamed_column",
                    format!("the result of `{expression}` has no name"),
                )
                .hint(format!("write `{expression} AS name`")));
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
                if tables.iter().any(|it| it.eq_ignore_ascii_case(&name.to_string())) =>
            {
                // The table has no other name by now.
                *item = SelectItem::Wildcard(options.clone());
            }
            SelectItem::QualifiedWildcard(..) => {
                return Err(Problem::new("sql_table", format!("`{item}` is of no table here"))
                    .hint(format!("write `*` or `{}.*`", tables.join("."))));
            }
            SelectItem::Wildcard(_) => {}
            SelectItem::ExprWithAliases { .. } => return Err(unsupported("more than one name for a result")),
        }
    }
    let mut seen = HashSet::new();
    match names.iter().find(|it| !seen.insert(it.as_str())) {
        Some(twice) => Err(duplicate(twice)),
        None => Ok(names),
    }
}
