//! The text of the query, parsed within bounds; whatever needs more than one row is refused here, before there is a stream.

use std::collections::HashSet;

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, ObjectNamePart, Query as Ast, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Statement, TableFactor, WildcardAdditionalOptions,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

/// Far beyond what people write.
const SQL_BYTES_MAX: usize = 64 * 1024;
/// Each may nest an expression by one level that is descended when it is evaluated, and a guest's stack is one megabyte.
const OPERATORS_MAX: usize = 300;
/// How deep parentheses may nest.
const DEPTH_MAX: usize = 30;
/// What the stream is called.
const INPUT: &str = "input";

/// One result of the query.
#[derive(Debug)]
pub enum Item {
    /// Every column of the stream.
    All,
    /// A column by its own name.
    Column(Ident),
    Named(String, Box<Expr>),
}

/// A checked query.
#[derive(Debug)]
pub struct Query {
    pub items: Vec<Item>,
    pub predicate: Option<Expr>,
    /// What the stream is called in it.
    pub table: String,
}

impl Query {
    pub fn parse(sql: &str) -> Result<Query, String> {
        if sql.len() > SQL_BYTES_MAX {
            return Err(format!("the query has more than {SQL_BYTES_MAX} bytes"));
        }
        let dialect = GenericDialect {};
        let tokens =
            Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|error| error.to_string())?;
        let operators = tokens.iter().filter(|it| nests(&it.token)).count();
        if operators > OPERATORS_MAX {
            return Err(format!(
                "the query has {operators} operators, more than {OPERATORS_MAX}; `IN (…)` takes any number of values"
            ));
        }
        let mut parser =
            Parser::new(&dialect).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens);
        let statement = parser.parse_statement().map_err(syntax)?;
        while parser.consume_token(&Token::SemiColon) {}
        parser.expect_token(&Token::EOF).map_err(syntax)?;
        match statement {
            Statement::Query(query) => Query::new(*query),
            _ => Err("only `SELECT … FROM input` is possible".to_owned()),
        }
    }

    pub fn results(&self) -> usize {
        self.items.len()
    }

    fn new(query: Ast) -> Result<Query, String> {
        let around = [
            (query.with.is_some(), "WITH"),
            (query.order_by.is_some(), "ORDER BY"),
            (query.limit_clause.is_some() || query.fetch.is_some(), "LIMIT"),
            (!query.locks.is_empty() || query.for_clause.is_some(), "FOR"),
            (query.settings.is_some() || query.format_clause.is_some(), "SETTINGS"),
            (!query.pipe_operators.is_empty(), "|>"),
        ];
        refuse(&around)?;
        let SetExpr::Select(select) = *query.body else {
            return Err("only one plain `SELECT … FROM input` is possible".to_owned());
        };
        let within = [
            (matches!(select.distinct, Some(Distinct::Distinct | Distinct::On(_))), "DISTINCT"),
            (
                !matches!(&select.group_by, GroupByExpr::Expressions(by, more) if by.is_empty() && more.is_empty()),
                "GROUP BY",
            ),
            (select.having.is_some(), "HAVING"),
            (select.qualify.is_some() || !select.named_window.is_empty(), "WINDOW"),
            (select.into.is_some(), "INTO"),
            (select.top.is_some(), "TOP"),
            (!select.lateral_views.is_empty(), "LATERAL VIEW"),
            (select.prewhere.is_some(), "PREWHERE"),
            (
                !select.sort_by.is_empty()
                    || !select.cluster_by.is_empty()
                    || !select.distribute_by.is_empty(),
                "SORT BY",
            ),
            (!select.connect_by.is_empty(), "CONNECT BY"),
            (select.exclude.is_some() || select.value_table_mode.is_some(), "EXCLUDE"),
        ];
        refuse(&within)?;
        let table = table(&select)?;
        let predicate = select.selection.clone();
        let items =
            select.projection.into_iter().map(|it| item(it, &table)).collect::<Result<Vec<_>, _>>()?;
        let mut seen = HashSet::new();
        for item in &items {
            if let Item::Named(name, _) = item
                && !seen.insert(name.as_str())
            {
                return Err(format!("there would be two columns `{name}`"));
            }
        }
        Ok(Query { items, predicate, table })
    }
}

fn syntax(error: sqlparser::parser::ParserError) -> String {
    let message = error.to_string();
    message.strip_prefix("sql parser error: ").unwrap_or(&message).to_owned()
}

/// Whether an expression may become one level deeper with this token.
fn nests(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            let word = word.value.to_ascii_uppercase();
            matches!(
                word.as_str(),
                "AND"
                    | "OR"
                    | "XOR"
                    | "NOT"
                    | "IS"
                    | "LIKE"
                    | "ILIKE"
                    | "BETWEEN"
                    | "IN"
                    | "CASE"
                    | "AT"
                    | "UNION"
            )
        }
        Token::Comma | Token::Period | Token::LParen | Token::RParen | Token::SemiColon | Token::EOF => false,
        Token::Number(..) | Token::Char(_) | Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => {
            false
        }
        Token::Whitespace(_) => false,
        _ => true,
    }
}

fn refuse(clauses: &[(bool, &str)]) -> Result<(), String> {
    match clauses.iter().find(|(is_there, _)| *is_there) {
        Some((_, clause)) => Err(format!(
            "`{clause}` is not possible: rows are looked at one by one; the operation `sql` of the host sees the whole stream"
        )),
        None => Ok(()),
    }
}

fn table(select: &Select) -> Result<String, String> {
    let only = || "the stream is called `input`: `SELECT … FROM input`".to_owned();
    let [from] = select.from.as_slice() else { return Err(only()) };
    if !from.joins.is_empty() {
        return Err("a stream cannot be joined; join in the destination".to_owned());
    }
    match &from.relation {
        TableFactor::Table { name, alias, args: None, sample: None, .. } => match name.0.as_slice() {
            [ObjectNamePart::Identifier(it)] if it.value.eq_ignore_ascii_case(INPUT) => match alias {
                Some(alias) if alias.columns.is_empty() => Ok(alias.name.value.clone()),
                Some(_) => Err("columns cannot be named behind the table".to_owned()),
                None => Ok(INPUT.to_owned()),
            },
            _ => Err(format!("there is no table `{name}`; {}", only())),
        },
        _ => Err(only()),
    }
}

fn item(item: SelectItem, table: &str) -> Result<Item, String> {
    let plain = |options: &WildcardAdditionalOptions| {
        if *options == WildcardAdditionalOptions::default() {
            Ok(Item::All)
        } else {
            Err("`*` stands alone: name the columns, or drop some with the operation `drop_columns`"
                .to_owned())
        }
    };
    match item {
        // The token that opens the options is part of them.
        SelectItem::Wildcard(mut options) => {
            options.wildcard_token = WildcardAdditionalOptions::default().wildcard_token;
            plain(&options)
        }
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _)
            if name.to_string().eq_ignore_ascii_case(table) =>
        {
            Ok(Item::All)
        }
        SelectItem::QualifiedWildcard(..) => Err(format!("only `*` and `{table}.*` are possible")),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Ok(Item::Column(name)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(mut names))
            if names.len() == 2 && names[0].value.eq_ignore_ascii_case(table) =>
        {
            Ok(Item::Column(names.remove(1)))
        }
        SelectItem::UnnamedExpr(expression) => {
            Err(format!("the result of `{expression}` has no name: write `{expression} AS name`"))
        }
        SelectItem::ExprWithAlias { expr, alias } => Ok(Item::Named(alias.value, Box::new(expr))),
        SelectItem::ExprWithAliases { .. } => Err("a result has one name".to_owned()),
    }
}
