//! SQL texts: parsed within bounds, names resolved against the columns that are there.
//!
//! A name matches a column as it is written, or else whatever its case if only one column can be meant; a quoted name matches
//! exactly. Names that a query gives stay as they are written.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, Statement, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::limits::{SQL_BYTES_MAX, SQL_DEPTH_MAX, SQL_OPERATORS_MAX};
use crate::problem::{Problem, syntax, unknown_column};

const DIALECT: GenericDialect = GenericDialect {};

fn parser(sql: &str) -> Result<Parser<'static>, Problem> {
    if sql.trim().is_empty() {
        return Err(Problem::new("sql_syntax", "the SQL is empty"));
    }
    if sql.len() > SQL_BYTES_MAX {
        return Err(Problem::new("sql_too_large", format!("the SQL has more than {SQL_BYTES_MAX} bytes")));
    }
    let tokens =
        Tokenizer::new(&DIALECT, sql).tokenize_with_location().map_err(|error| syntax(&error.into()))?;
    let operators = tokens.iter().filter(|it| nests(&it.token)).count();
    if operators > SQL_OPERATORS_MAX {
        return Err(Problem::new(
            "sql_too_large",
            format!("the SQL has {operators} operators, more than {SQL_OPERATORS_MAX}"),
        )
        .hint("`column IN (…)` takes any number of values"));
    }
    Ok(Parser::new(&DIALECT).with_recursion_limit(SQL_DEPTH_MAX).with_tokens_with_locations(tokens))
}

/// Whether an expression or plan may become one level deeper with this token.
fn nests(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::XOR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::BETWEEN
                | Keyword::IN
                | Keyword::AT
                | Keyword::COLLATE
                | Keyword::DIV
                | Keyword::CASE
                | Keyword::JOIN
                | Keyword::UNION
                | Keyword::INTERSECT
                | Keyword::EXCEPT
                | Keyword::SELECT
                | Keyword::FROM
        ),
        Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::SemiColon
        | Token::EOF
        | Token::Number(..)
        | Token::Char(_)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::Whitespace(_) => false,
        _ => true,
    }
}

/// One expression and nothing after it.
pub(crate) fn expression(sql: &str) -> Result<Expr, Problem> {
    let mut parser = parser(sql)?;
    let expression = parser.parse_expr().map_err(|error| syntax(&error))?;
    parser.expect_token(&Token::EOF).map_err(|error| syntax(&error))?;
    Ok(expression)
}

/// One statement, which must be a query.
pub(crate) fn query(sql: &str) -> Result<Query, Problem> {
    let mut parser = parser(sql)?;
    let statement = parser.parse_statement().map_err(|error| syntax(&error))?;
    while parser.consume_token(&Token::SemiColon) {}
    if parser.peek_token().token != Token::EOF {
        return Err(Problem::new("sql_syntax", "there is more than one statement"));
    }
    match statement {
        Statement::Query(query) => Ok(*query),
        other => {
            let text = other.to_string();
            let verb = text.split_whitespace().next().unwrap_or_default().to_uppercase();
            Err(Problem::new("sql_not_select", format!("`{verb}` is not possible, only `SELECT` is")))
        }
    }
}

/// Which column a name means.
fn matching<'a>(name: &Ident, columns: &'a [String]) -> Option<&'a str> {
    if let Some(exact) = columns.iter().find(|it| **it == name.value) {
        return Some(exact);
    }
    if name.quote_style.is_some() {
        return None;
    }
    let mut close = columns.iter().filter(|it| it.eq_ignore_ascii_case(&name.value));
    match (close.next(), close.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

fn exact(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// Resolves every name in an expression or query over one table.
pub(crate) struct Resolver<'a> {
    pub columns: &'a [String],
    /// What a query calls its results: may be used in `ORDER BY`, `GROUP BY` and `HAVING`.
    pub aliases: Vec<String>,
    /// What the table is called.
    pub tables: Vec<String>,
}

impl Resolver<'_> {
    fn name(&self, name: &Ident) -> Result<Expr, Problem> {
        match matching(name, self.columns).or_else(|| matching(name, &self.aliases)) {
            Some(column) => Ok(Expr::Identifier(exact(column))),
            None => Err(unknown_column(&name.value, self.columns.iter().map(String::as_str))),
        }
    }

    fn resolve(&self, expression: &mut Expr) -> Result<(), Problem> {
        match expression {
            Expr::Identifier(name) => *expression = self.name(name)?,
            Expr::CompoundIdentifier(names) => {
                let of_table =
                    names.len() > 1 && self.tables.iter().any(|it| it.eq_ignore_ascii_case(&names[0].value));
                let rest = if of_table && matching(&names[0], self.columns).is_none() {
                    &names[1..]
                } else {
                    &names[..]
                };
                let resolved = match rest {
                    [] => return Ok(()),
                    [name] => self.name(name)?,
                    [column, fields @ ..] => {
                        let Expr::Identifier(column) = self.name(column)? else { return Ok(()) };
                        Expr::CompoundIdentifier(
                            std::iter::once(column).chain(fields.iter().cloned()).collect(),
                        )
                    }
                };
                *expression = resolved;
            }
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                return Err(Problem::new("sql_subquery", "a subquery would read the stream twice")
                    .hint("a stream passes once: write several operations, one after the other"));
            }
            _ => {}
        }
        Ok(())
    }

    pub fn apply(&mut self, to: &mut impl VisitMut) -> Result<(), Problem> {
        match to.visit(self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(problem) => Err(problem),
        }
    }
}

impl VisitorMut for Resolver<'_> {
    type Break = Problem;

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<Problem> {
        match self.resolve(expression) {
            Ok(()) => ControlFlow::Continue(()),
            Err(problem) => ControlFlow::Break(problem),
        }
    }
}

/// Gives names of a query over several tables the case of the columns they can only mean; leaves the others to the planner.
pub(crate) struct Recase<'a> {
    pub columns: &'a [String],
}

impl VisitorMut for Recase<'_> {
    type Break = std::convert::Infallible;

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<Self::Break> {
        let name = match expression {
            Expr::Identifier(name) => Some(name),
            Expr::CompoundIdentifier(names) => names.last_mut(),
            _ => None,
        };
        if let Some(name) = name
            && let Some(column) = matching(name, self.columns)
        {
            *name = exact(column);
        }
        ControlFlow::Continue(())
    }
}
