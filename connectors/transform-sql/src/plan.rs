//! The query over the columns of a stream: names resolved, types known, the schema that flows out.

use std::cell::Cell;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, RecordBatchOptions,
    StringArray, new_null_array,
};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use sqlparser::ast::{
    BinaryOperator, CastKind, Expr, Function as Call, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    TrimWhereField, UnaryOperator, Value,
};

use crate::expression::{Arithmetic, Compare, Failure, Node, Typed};
use crate::function::{Function, NAMES};
use crate::query::{Item, Query};
use crate::typing::{self, DIGITS_MAX, common, is_text};

/// A query that batches of one stream go through.
#[derive(Debug)]
pub struct Plan {
    schema: SchemaRef,
    results: Vec<Typed>,
    predicate: Option<Typed>,
}

impl Plan {
    pub fn new(query: &Query, input: &SchemaRef) -> Result<Plan, String> {
        let names = Names { input, table: &query.table, depth: Cell::new(0) };
        let predicate = query.predicate.as_ref().map(|it| names.condition(it)).transpose()?;
        let mut fields: Vec<FieldRef> = Vec::new();
        let mut results = Vec::new();
        let mut give = |field: FieldRef, result: Typed| {
            if fields.iter().any(|it| it.name() == field.name()) {
                return Err(format!("there would be two columns `{}`", field.name()));
            }
            fields.push(field);
            results.push(result);
            Ok(())
        };
        for item in &query.items {
            match item {
                Item::All => {
                    for at in 0..input.fields().len() {
                        give(Arc::clone(&input.fields()[at]), names.column(at))?;
                    }
                }
                Item::Column(name) => {
                    let at = names.find(name)?;
                    give(Arc::clone(&input.fields()[at]), names.column(at))?;
                }
                Item::Named(name, expression) => {
                    let result = names.typed(expression)?;
                    if result.data_type == DataType::Null {
                        return Err(format!("`{name}` is NULL of no type: write `CAST(NULL AS TEXT)`"));
                    }
                    // A plain column stays what it is, under another name; what is computed is what its type says.
                    let field = match result.node {
                        Node::Column(at) => input.field(at).clone().with_name(name),
                        _ => Field::new(name, result.data_type.clone(), result.nullable),
                    };
                    give(Arc::new(field), result)?;
                }
            }
        }
        let schema = Arc::new(Schema::new_with_metadata(fields, input.metadata().clone()));
        Ok(Plan { schema, results, predicate })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, Failure> {
        let kept;
        let batch = match &self.predicate {
            Some(predicate) => {
                kept = arrow_select::filter::filter_record_batch(batch, &predicate.is_true(batch)?)?;
                &kept
            }
            None => batch,
        };
        let columns = self.results.iter().zip(self.schema.fields()).map(|(result, field)| {
            result.rows(batch).map_err(|failure| Failure {
                code: failure.code,
                message: format!("column `{}`: {}", field.name(), failure.message),
            })
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows)?)
    }
}

/// What names mean in a query.
struct Names<'a> {
    input: &'a SchemaRef,
    table: &'a str,
    depth: Cell<usize>,
}

/// How deep an expression may nest, operators in a row not counted: a guest's stack is one megabyte.
const DEPTH_MAX: usize = 50;

fn boxed(typed: Typed) -> Box<Typed> {
    Box::new(typed)
}

impl Names<'_> {
    /// As it is written, or else whatever its case if only one column can be meant.
    fn find(&self, name: &Ident) -> Result<usize, String> {
        if let Ok(at) = self.input.index_of(&name.value) {
            return Ok(at);
        }
        let fields = self.input.fields();
        let close = |it: &usize| fields[*it].name().eq_ignore_ascii_case(&name.value);
        let mut found = (0..fields.len()).filter(|at| name.quote_style.is_none() && close(at));
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            _ => {
                let names: Vec<String> =
                    fields.iter().take(30).map(|it| format!("`{}`", it.name())).collect();
                Err(format!("there is no column `{}`; the columns are {}", name.value, names.join(", ")))
            }
        }
    }

    fn column(&self, at: usize) -> Typed {
        let field = self.input.field(at);
        Typed { node: Node::Column(at), data_type: field.data_type().clone(), nullable: field.is_nullable() }
    }

    fn condition(&self, expression: &Expr) -> Result<Typed, String> {
        boolean(self.typed(expression)?, expression)
    }

    /// Operators in a row nest to the left, as deep as there are any: they are gone through from the inside, without descending.
    fn typed(&self, expression: &Expr) -> Result<Typed, String> {
        let mut operators = Vec::new();
        let mut innermost = expression;
        while let Expr::BinaryOp { left, op, right } = innermost {
            operators.push((op, right, innermost));
            innermost = left;
        }
        if self.depth.get() >= DEPTH_MAX {
            return Err(format!("the query nests more than {DEPTH_MAX} deep"));
        }
        self.depth.set(self.depth.get() + 1);
        let mut result = self.single(innermost);
        for (operator, right, whole) in operators.into_iter().rev() {
            result = result.and_then(|left| binary(left, operator, self.typed(right)?, whole));
        }
        self.depth.set(self.depth.get() - 1);
        result
    }

    fn single(&self, expression: &Expr) -> Result<Typed, String> {
        match expression {
            Expr::Identifier(name) => Ok(self.column(self.find(name)?)),
            Expr::CompoundIdentifier(names) => match names.as_slice() {
                [table, name] if table.value.eq_ignore_ascii_case(self.table) => {
                    Ok(self.column(self.find(name)?))
                }
                _ => Err(format!("there is no column `{expression}`")),
            },
            Expr::Nested(inner) => self.typed(inner),
            Expr::Value(value) => literal(&value.value),
            Expr::TypedString(typed) => {
                let text = Typed::literal(Arc::new(StringArray::from(vec![
                    typed.value.to_string().trim_matches('\''),
                ])));
                self.cast(text, &typed.data_type.to_string(), false, expression)
            }
            Expr::UnaryOp { op, expr } => self.unary(op, expr, expression),
            Expr::IsNull(it) => Ok(Typed::boolean(Node::IsNull(boxed(self.typed(it)?)), false)),
            Expr::IsNotNull(it) => Ok(not(Typed::boolean(Node::IsNull(boxed(self.typed(it)?)), false))),
            Expr::IsTrue(it) => self.is(it, true, false),
            Expr::IsNotTrue(it) => self.is(it, true, true),
            Expr::IsFalse(it) => self.is(it, false, false),
            Expr::IsNotFalse(it) => self.is(it, false, true),
            Expr::IsDistinctFrom(left, right) => self.compare(Compare::Distinct, left, right, expression),
            Expr::IsNotDistinctFrom(left, right) => {
                self.compare(Compare::NotDistinct, left, right, expression)
            }
            Expr::Between { expr, negated, low, high } => {
                let within = both(
                    self.compare(Compare::GreaterOrEqual, expr, low, expression)?,
                    self.compare(Compare::LessOrEqual, expr, high, expression)?,
                );
                Ok(if *negated { not(within) } else { within })
            }
            Expr::InList { expr, list, negated } => {
                let equal = list.iter().map(|it| self.compare(Compare::Equal, expr, it, expression));
                let equal = equal.collect::<Result<Vec<_>, _>>()?;
                let nullable = equal.iter().any(|it| it.nullable);
                let found = Typed::boolean(Node::Or(equal), nullable);
                Ok(if *negated { not(found) } else { found })
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, pattern, *negated, false)
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, pattern, *negated, true)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                let mut branches = Vec::new();
                for when in conditions {
                    let condition = match operand {
                        Some(operand) => {
                            self.compare(Compare::Equal, operand, &when.condition, expression)?
                        }
                        None => self.condition(&when.condition)?,
                    };
                    branches.push((condition, self.typed(&when.result)?));
                }
                let otherwise = else_result.as_ref().map(|it| self.typed(it)).transpose()?;
                case(branches, otherwise, expression)
            }
            Expr::Cast { kind, expr, data_type, format: None, .. } => {
                let or_null = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
                self.cast(self.typed(expr)?, &data_type.to_string(), or_null, expression)
            }
            Expr::Trim { expr, trim_where, trim_what, trim_characters: None } => {
                let function = match trim_where {
                    None | Some(TrimWhereField::Both) => Function::Trim,
                    Some(TrimWhereField::Leading) => Function::TrimStart,
                    Some(TrimWhereField::Trailing) => Function::TrimEnd,
                };
                let arguments = std::iter::once(expr).chain(trim_what).map(|it| self.typed(it));
                call(function, arguments.collect::<Result<_, _>>()?, expression)
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let one = Typed::literal(Arc::new(Int64Array::from(vec![1])));
                let from = substring_from.as_ref().map_or(Ok(one), |it| self.typed(it))?;
                let mut arguments = vec![self.typed(expr)?, from];
                if let Some(count) = substring_for {
                    arguments.push(self.typed(count)?);
                }
                call(Function::Substring, arguments, expression)
            }
            Expr::Ceil { expr, .. } => call(Function::Ceil, vec![self.typed(expr)?], expression),
            Expr::Floor { expr, .. } => call(Function::Floor, vec![self.typed(expr)?], expression),
            Expr::Function(function) => self.function(function, expression),
            other => Err(format!("`{other}` is not possible here")),
        }
    }

    fn unary(&self, op: &UnaryOperator, inner: &Expr, whole: &Expr) -> Result<Typed, String> {
        match op {
            UnaryOperator::Not => Ok(not(self.condition(inner)?)),
            UnaryOperator::Plus => self.typed(inner),
            UnaryOperator::Minus => {
                let value = self.typed(inner)?;
                let data_type = match &value.data_type {
                    it if it.is_integer() => DataType::Int64,
                    it if it.is_numeric() => it.clone(),
                    other => return Err(format!("`{whole}`: {other} is no number")),
                };
                let value = to(value, &data_type, whole)?;
                let nullable = value.nullable;
                let none = Typed::literal(Arc::new(Int64Array::from(vec![0])));
                let node = Node::Arithmetic(Arithmetic::Negate, boxed(value), boxed(none));
                Ok(Typed { node, data_type, nullable })
            }
            other => Err(format!("the operator `{other}` is not possible here")),
        }
    }

    fn compare(&self, comparison: Compare, left: &Expr, right: &Expr, whole: &Expr) -> Result<Typed, String> {
        compared(comparison, self.typed(left)?, self.typed(right)?, whole)
    }

    fn is(&self, inner: &Expr, wanted: bool, negated: bool) -> Result<Typed, String> {
        let wanted = Typed::literal(Arc::new(BooleanArray::from(vec![wanted])));
        let comparison = if negated { Compare::Distinct } else { Compare::NotDistinct };
        let node = Node::Compare(comparison, boxed(self.condition(inner)?), boxed(wanted));
        Ok(Typed::boolean(node, false))
    }

    fn like(&self, text: &Expr, pattern: &Expr, negated: bool, any_case: bool) -> Result<Typed, String> {
        let text = to(self.typed(text)?, &DataType::Utf8, text)?;
        let pattern = to(self.typed(pattern)?, &DataType::Utf8, pattern)?;
        let nullable = text.nullable || pattern.nullable;
        let like =
            Typed::boolean(Node::Like { text: boxed(text), pattern: boxed(pattern), any_case }, nullable);
        Ok(if negated { not(like) } else { like })
    }

    fn cast(&self, value: Typed, name: &str, or_null: bool, whole: &Expr) -> Result<Typed, String> {
        let data_type = typing::named(name).ok_or_else(|| {
            format!("there is no type `{name}`; write BIGINT, DOUBLE, DECIMAL(18,2), TEXT, BOOLEAN, DATE, TIMESTAMP, TIMESTAMPTZ or BYTEA")
        })?;
        let from = value.data_type.clone();
        match value.cast(&data_type, or_null) {
            Some(cast) => cast.map_err(|failure| format!("`{whole}`: {}", failure.message)),
            None => Err(format!("`{whole}`: {from} cannot be cast to {data_type}")),
        }
    }

    fn function(&self, function: &Call, whole: &Expr) -> Result<Typed, String> {
        let plain = function.over.is_none()
            && function.filter.is_none()
            && function.within_group.is_empty()
            && function.parameters == FunctionArguments::None;
        let FunctionArguments::List(list) = &function.args else {
            return Err(format!("`{whole}` is not possible here"));
        };
        if !plain || list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
            return Err(format!("`{whole}` is not possible here: rows are looked at one by one"));
        }
        let arguments = list.args.iter().map(|it| match it {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(it)) => self.typed(it),
            other => Err(format!("the argument `{other}` is not possible here")),
        });
        let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        let name = function.name.to_string().to_ascii_lowercase();
        match (name.as_str(), arguments.len()) {
            ("coalesce", 1..) => {
                let mut arguments = arguments;
                let last = arguments.pop();
                let known = |it: &Typed| not(Typed::boolean(Node::IsNull(boxed(it.clone())), false));
                case(arguments.into_iter().map(|it| (known(&it), it)).collect(), last, whole)
            }
            ("nullif", 2) => {
                let mut both = arguments.into_iter();
                let (Some(value), Some(other)) = (both.next(), both.next()) else {
                    return Err(String::new());
                };
                let (left, right) = comparable(value.clone(), other, whole)?;
                let nullable = left.nullable || right.nullable;
                let equal =
                    Typed::boolean(Node::Compare(Compare::Equal, boxed(left), boxed(right)), nullable);
                let nothing = Typed::literal(new_null_array(&value.data_type, 1));
                case(vec![(equal, nothing)], Some(value), whole)
            }
            _ => match Function::named(&name) {
                Some(known) => call(known, arguments, whole),
                None if NAMES.contains(&name.as_str()) => {
                    Err(format!("`{whole}` has too few or too many arguments"))
                }
                None => Err(format!("there is no function `{name}`; there are {}", NAMES.join(", "))),
            },
        }
    }
}

fn boolean(value: Typed, whole: &Expr) -> Result<Typed, String> {
    match value.data_type {
        DataType::Boolean => Ok(value),
        DataType::Null => to(value, &DataType::Boolean, whole),
        other => Err(format!("`{whole}` is {other}, neither true nor false: compare it")),
    }
}

fn compared(comparison: Compare, left: Typed, right: Typed, whole: &Expr) -> Result<Typed, String> {
    let (left, right) = comparable(left, right, whole)?;
    let unknown = !matches!(comparison, Compare::Distinct | Compare::NotDistinct);
    let nullable = unknown && (left.nullable || right.nullable);
    Ok(Typed::boolean(Node::Compare(comparison, boxed(left), boxed(right)), nullable))
}

fn binary(left: Typed, op: &BinaryOperator, right: Typed, whole: &Expr) -> Result<Typed, String> {
    let comparison = match op {
        BinaryOperator::Eq => Some(Compare::Equal),
        BinaryOperator::NotEq => Some(Compare::NotEqual),
        BinaryOperator::Lt => Some(Compare::Less),
        BinaryOperator::LtEq => Some(Compare::LessOrEqual),
        BinaryOperator::Gt => Some(Compare::Greater),
        BinaryOperator::GtEq => Some(Compare::GreaterOrEqual),
        _ => None,
    };
    if let Some(comparison) = comparison {
        return compared(comparison, left, right, whole);
    }
    let operation = match op {
        BinaryOperator::And => return Ok(both(boolean(left, whole)?, boolean(right, whole)?)),
        BinaryOperator::Or => return Ok(either(boolean(left, whole)?, boolean(right, whole)?)),
        BinaryOperator::StringConcat => return call(Function::Join, vec![left, right], whole),
        BinaryOperator::Plus => Arithmetic::Add,
        BinaryOperator::Minus => Arithmetic::Subtract,
        BinaryOperator::Multiply => Arithmetic::Multiply,
        BinaryOperator::Divide => Arithmetic::Divide,
        BinaryOperator::Modulo => Arithmetic::Remainder,
        other => return Err(format!("the operator `{other}` is not possible here")),
    };
    arithmetic(operation, left, right, whole)
}

fn literal(value: &Value) -> Result<Typed, String> {
    let array: ArrayRef = match value {
        Value::Number(text, _) => return number(text),
        Value::SingleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::NationalStringLiteral(text) => Arc::new(StringArray::from(vec![text.as_str()])),
        Value::Boolean(it) => Arc::new(BooleanArray::from(vec![*it])),
        Value::Null => new_null_array(&DataType::Null, 1),
        other => return Err(format!("the value `{other}` is not possible here")),
    };
    Ok(Typed::literal(array))
}

/// Exact: a number with a point is a decimal, one with an exponent a float.
fn number(text: &str) -> Result<Typed, String> {
    let wrong = || format!("the number `{text}` has too many digits");
    if text.contains(['e', 'E']) {
        let value: f64 = text.parse().map_err(|_| wrong())?;
        return Ok(Typed::literal(Arc::new(Float64Array::from(vec![value]))));
    }
    if let Ok(value) = text.parse::<i64>() {
        return Ok(Typed::literal(Arc::new(Int64Array::from(vec![value]))));
    }
    let (before, behind) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{before}{behind}");
    let value: i128 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| wrong())? };
    let precision =
        u8::try_from(digits.trim_start_matches('0').len().max(behind.len()).max(1)).map_err(|_| wrong())?;
    if precision > DIGITS_MAX {
        return Err(wrong());
    }
    let array = Decimal128Array::from(vec![value]);
    let array = array.with_precision_and_scale(precision, behind.len() as i8).map_err(|_| wrong())?;
    Ok(Typed::literal(Arc::new(array)))
}

fn not(it: Typed) -> Typed {
    let nullable = it.nullable;
    Typed::boolean(Node::Not(boxed(it)), nullable)
}

/// Terms in a row are one list.
fn both(left: Typed, right: Typed) -> Typed {
    let nullable = left.nullable || right.nullable;
    let terms = match left.node {
        Node::And(mut terms) => {
            terms.push(right);
            terms
        }
        _ => vec![left, right],
    };
    Typed::boolean(Node::And(terms), nullable)
}

fn either(left: Typed, right: Typed) -> Typed {
    let nullable = left.nullable || right.nullable;
    let terms = match left.node {
        Node::Or(mut terms) => {
            terms.push(right);
            terms
        }
        _ => vec![left, right],
    };
    Typed::boolean(Node::Or(terms), nullable)
}

fn to(value: Typed, data_type: &DataType, whole: &Expr) -> Result<Typed, String> {
    let from = value.data_type.clone();
    // A number is no text by accident.
    let fits = from == DataType::Null
        || from == *data_type
        || (from.is_numeric() && data_type.is_numeric())
        || (is_text(&from) && is_text(data_type))
        || (from.is_temporal() && data_type.is_temporal())
        || (is_text(&from) && matches!(value.node, Node::Literal(_)) && data_type.is_temporal());
    let wrong = || format!("`{whole}`: {from} is no {data_type}: write what is meant with CAST");
    if !fits {
        return Err(wrong());
    }
    match value.cast(data_type, false) {
        Some(cast) => cast.map_err(|failure| format!("`{whole}`: {}", failure.message)),
        None => Err(wrong()),
    }
}

fn comparable(left: Typed, right: Typed, whole: &Expr) -> Result<(Typed, Typed), String> {
    let is_constant = |it: &Typed| matches!(it.node, Node::Literal(_)) && is_text(&it.data_type);
    let data_type = match common(&left.data_type, &right.data_type) {
        Some(data_type) => data_type,
        // A date or time is written as a text.
        None if is_constant(&right) && left.data_type.is_temporal() => left.data_type.clone(),
        None if is_constant(&left) && right.data_type.is_temporal() => right.data_type.clone(),
        None => {
            return Err(format!(
                "`{whole}`: {} and {} cannot be compared: write what is meant with CAST",
                left.data_type, right.data_type
            ));
        }
    };
    Ok((to(left, &data_type, whole)?, to(right, &data_type, whole)?))
}

fn arithmetic(operation: Arithmetic, left: Typed, right: Typed, whole: &Expr) -> Result<Typed, String> {
    for side in [&left, &right] {
        if !side.data_type.is_numeric() && side.data_type != DataType::Null {
            return Err(format!("`{whole}`: {} is no number: write what is meant with CAST", side.data_type));
        }
    }
    let nullable = left.nullable || right.nullable;
    let (left, right) = if left.data_type.is_floating() || right.data_type.is_floating() {
        (to(left, &DataType::Float64, whole)?, to(right, &DataType::Float64, whole)?)
    } else if is_decimal(&left.data_type) || is_decimal(&right.data_type) {
        (exact(left, whole)?, exact(right, whole)?)
    } else {
        (to(left, &DataType::Int64, whole)?, to(right, &DataType::Int64, whole)?)
    };
    // What comes out of decimals only the kernel knows: asked with no rows.
    let probe = |it: &Typed| arrow_array::new_empty_array(&it.data_type);
    let (a, b) = (probe(&left), probe(&right));
    let result = match operation {
        Arithmetic::Add => arrow_arith::numeric::add(&a, &b),
        Arithmetic::Subtract => arrow_arith::numeric::sub(&a, &b),
        Arithmetic::Multiply => arrow_arith::numeric::mul(&a, &b),
        Arithmetic::Divide => arrow_arith::numeric::div(&a, &b),
        Arithmetic::Remainder | Arithmetic::Negate => arrow_arith::numeric::rem(&a, &b),
    };
    let data_type = result.map_err(|error| format!("`{whole}`: {error}"))?.data_type().clone();
    Ok(Typed { node: Node::Arithmetic(operation, boxed(left), boxed(right)), data_type, nullable })
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..))
}

fn exact(value: Typed, whole: &Expr) -> Result<Typed, String> {
    let data_type = match &value.data_type {
        DataType::Null => DataType::Decimal128(1, 0),
        other => typing::decimal(other).ok_or_else(|| format!("`{whole}`: {other} is no exact number"))?,
    };
    to(value, &data_type, whole)
}

fn case(branches: Vec<(Typed, Typed)>, otherwise: Option<Typed>, whole: &Expr) -> Result<Typed, String> {
    let results = || branches.iter().map(|(_, it)| it).chain(&otherwise);
    let mut data_type = DataType::Null;
    for result in results() {
        data_type = common(&data_type, &result.data_type).ok_or_else(|| {
            format!(
                "`{whole}`: {data_type} and {} do not go together: write what is meant with CAST",
                result.data_type
            )
        })?;
    }
    let nullable = otherwise.is_none() || results().any(|it| it.nullable);
    let branches =
        branches.into_iter().map(|(condition, value)| Ok((condition, to(value, &data_type, whole)?)));
    let branches = branches.collect::<Result<Vec<_>, String>>()?;
    let otherwise = otherwise.map(|it| to(it, &data_type, whole)).transpose()?.map(Box::new);
    Ok(Typed { node: Node::Case { branches, otherwise }, data_type, nullable })
}

fn call(function: Function, arguments: Vec<Typed>, whole: &Expr) -> Result<Typed, String> {
    let (needed, more) = function.arguments();
    let most = if function == Function::Concat { usize::MAX } else { needed.len() + more.len() };
    if arguments.len() < needed.len() || arguments.len() > most {
        return Err(format!("`{whole}` has too few or too many arguments"));
    }
    let nullable = function.is_strict() && arguments.iter().any(|it| it.nullable);
    let wanted = needed.iter().chain(more.iter().cycle());
    let arguments = arguments.into_iter().zip(wanted).map(|(argument, wanted)| to(argument, wanted, whole));
    let node = Node::Call(function, arguments.collect::<Result<_, _>>()?);
    Ok(Typed { node, data_type: function.result(), nullable })
}
