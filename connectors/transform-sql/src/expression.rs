//! Typed expressions and their values. Every kernel is told to fail where a value does not fit.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Datum, RecordBatch, UInt32Array, new_null_array};
use arrow_cast::{CastOptions, can_cast_types, cast_with_options};
use arrow_schema::{ArrowError, DataType};

use crate::function::Function;

/// Why a row has no value.
#[derive(Debug)]
pub struct Failure {
    pub code: &'static str,
    pub message: String,
}

impl From<ArrowError> for Failure {
    fn from(error: ArrowError) -> Self {
        let code = match &error {
            ArrowError::CastError(_) | ArrowError::ParseError(_) => "cast_failed",
            ArrowError::DivideByZero => "division_by_zero",
            ArrowError::ArithmeticOverflow(_) => "arithmetic_overflow",
            _ => "evaluation_failed",
        };
        let message = match error {
            ArrowError::CastError(message)
            | ArrowError::ParseError(message)
            | ArrowError::ComputeError(message)
            | ArrowError::ArithmeticOverflow(message)
            | ArrowError::InvalidArgumentError(message) => message,
            ArrowError::DivideByZero => "division by zero".to_owned(),
            other => other.to_string(),
        };
        Failure { code, message }
    }
}

/// An expression whose type is known.
#[derive(Debug, Clone)]
pub struct Typed {
    pub node: Node,
    pub data_type: DataType,
    pub nullable: bool,
}

#[derive(Debug, Clone)]
pub enum Node {
    Column(usize),
    /// An array of one value.
    Literal(ArrayRef),
    Arithmetic(Arithmetic, Box<Typed>, Box<Typed>),
    Compare(Compare, Box<Typed>, Box<Typed>),
    And(Vec<Typed>),
    Or(Vec<Typed>),
    Not(Box<Typed>),
    IsNull(Box<Typed>),
    Like {
        text: Box<Typed>,
        pattern: Box<Typed>,
        any_case: bool,
    },
    Case {
        branches: Vec<(Typed, Typed)>,
        otherwise: Option<Box<Typed>>,
    },
    Cast {
        value: Box<Typed>,
        or_null: bool,
    },
    Call(Function, Vec<Typed>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Negate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Distinct,
    NotDistinct,
}

/// One value for every row, or one for all.
pub struct Value {
    array: ArrayRef,
    is_scalar: bool,
}

impl Datum for Value {
    fn get(&self) -> (&dyn Array, bool) {
        (self.array.as_ref(), self.is_scalar)
    }
}

impl Value {
    fn rows(array: ArrayRef) -> Self {
        Value { array, is_scalar: false }
    }

    /// One value for every row.
    pub fn into_rows(self, rows: usize) -> Result<ArrayRef, ArrowError> {
        if !self.is_scalar {
            return Ok(self.array);
        }
        arrow_select::take::take(&self.array, &UInt32Array::from(vec![0; rows]), None)
    }
}

impl Typed {
    pub fn literal(array: ArrayRef) -> Typed {
        Typed {
            data_type: array.data_type().clone(),
            nullable: array.logical_null_count() > 0,
            node: Node::Literal(array),
        }
    }

    pub fn boolean(node: Node, nullable: bool) -> Typed {
        Typed { node, data_type: DataType::Boolean, nullable }
    }

    /// The same value as another type; none if there is no such cast. A constant that does not fit is known at once.
    pub fn cast(self, to: &DataType, or_null: bool) -> Option<Result<Typed, Failure>> {
        if self.data_type == *to {
            return Some(Ok(self));
        }
        if !can_cast_types(&self.data_type, to) {
            return None;
        }
        if let Node::Literal(array) = &self.node {
            return Some(cast(array, to, or_null).map(Typed::literal).map_err(Failure::from));
        }
        let nullable = self.nullable || or_null;
        Some(Ok(Typed {
            node: Node::Cast { value: Box::new(self), or_null },
            data_type: to.clone(),
            nullable,
        }))
    }

    pub fn rows(&self, batch: &RecordBatch) -> Result<ArrayRef, Failure> {
        Ok(self.evaluate(batch)?.into_rows(batch.num_rows())?)
    }

    /// A mask without nulls: true where the predicate is true.
    pub fn is_true(&self, batch: &RecordBatch) -> Result<BooleanArray, Failure> {
        let rows = self.rows(batch)?;
        let mask = rows.as_boolean();
        Ok(match mask.nulls() {
            Some(known) => BooleanArray::new(mask.values() & known.inner(), None),
            None => mask.clone(),
        })
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<Value, Failure> {
        let array = match &self.node {
            Node::Column(at) => Arc::clone(batch.column(*at)),
            Node::Literal(array) => return Ok(Value { array: Arc::clone(array), is_scalar: true }),
            Node::Arithmetic(operation, left, right) => arithmetic(*operation, left, right, batch)?,
            Node::Compare(comparison, left, right) => {
                let (left, right) = (left.evaluate(batch)?, right.evaluate(batch)?);
                return as_value(compare(*comparison, &left, &right)?, left.is_scalar && right.is_scalar);
            }
            Node::And(all) => fold(all, batch, arrow_arith::boolean::and_kleene)?,
            Node::Or(any) => fold(any, batch, arrow_arith::boolean::or_kleene)?,
            Node::Not(it) => Arc::new(arrow_arith::boolean::not(it.rows(batch)?.as_boolean())?),
            Node::IsNull(it) => Arc::new(arrow_arith::boolean::is_null(&it.rows(batch)?)?),
            Node::Like { text, pattern, any_case } => {
                let (text, pattern) = (text.evaluate(batch)?, pattern.evaluate(batch)?);
                let like = if *any_case { arrow_string::like::ilike } else { arrow_string::like::like };
                return as_value(like(&text, &pattern)?, text.is_scalar && pattern.is_scalar);
            }
            Node::Case { branches, otherwise } => self.case(branches, otherwise.as_deref(), batch)?,
            Node::Cast { value, or_null } => cast(&value.rows(batch)?, &self.data_type, *or_null)?,
            Node::Call(function, arguments) => {
                let arguments = arguments.iter().map(|it| it.rows(batch)).collect::<Result<Vec<_>, _>>()?;
                function.call(&arguments, batch.num_rows())?
            }
        };
        Ok(Value::rows(array))
    }

    /// Each branch sees only the rows that come to it, so that a condition can guard a value.
    fn case(
        &self,
        branches: &[(Typed, Typed)],
        otherwise: Option<&Typed>,
        batch: &RecordBatch,
    ) -> Result<ArrayRef, Failure> {
        // Where each row's value is: in which of the arrays, and at which place. The first has the NULL of nobody's rows.
        let mut arrays = vec![new_null_array(&self.data_type, 1)];
        let mut places = vec![(0usize, 0usize); batch.num_rows()];
        let mut left: Vec<u32> = (0..batch.num_rows() as u32).collect();
        let mut give = |value: &Typed, rows: &[u32], some: &RecordBatch| -> Result<(), Failure> {
            for (at, row) in rows.iter().enumerate() {
                places[*row as usize] = (arrays.len(), at);
            }
            arrays.push(value.rows(some)?);
            Ok(())
        };
        for (condition, value) in branches {
            if left.is_empty() {
                break;
            }
            let some = arrow_select::take::take_record_batch(batch, &UInt32Array::from(left.clone()))?;
            let mask = condition.is_true(&some)?;
            if mask.true_count() == 0 {
                continue;
            }
            let (taken, rest): (Vec<_>, Vec<_>) =
                left.iter().enumerate().partition(|(at, _)| mask.value(*at));
            let rows: Vec<u32> = taken.into_iter().map(|(_, row)| *row).collect();
            let chosen = arrow_select::filter::filter_record_batch(&some, &mask)?;
            give(value, &rows, &chosen)?;
            left = rest.into_iter().map(|(_, row)| *row).collect();
        }
        if let Some(value) = otherwise
            && !left.is_empty()
        {
            let some = arrow_select::take::take_record_batch(batch, &UInt32Array::from(left.clone()))?;
            give(value, &left, &some)?;
        }
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        Ok(arrow_select::interleave::interleave(&arrays, &places)?)
    }
}

fn as_value(array: BooleanArray, is_scalar: bool) -> Result<Value, Failure> {
    Ok(Value { array: Arc::new(array), is_scalar })
}

fn fold(
    terms: &[Typed],
    batch: &RecordBatch,
    join: fn(&BooleanArray, &BooleanArray) -> Result<BooleanArray, ArrowError>,
) -> Result<ArrayRef, Failure> {
    let mut result: Option<BooleanArray> = None;
    for term in terms {
        let rows = term.rows(batch)?;
        result = Some(match result {
            Some(before) => join(&before, rows.as_boolean())?,
            None => rows.as_boolean().clone(),
        });
    }
    Ok(Arc::new(result.unwrap_or_else(|| BooleanArray::from(vec![false; batch.num_rows()]))))
}

fn arithmetic(
    operation: Arithmetic,
    left: &Typed,
    right: &Typed,
    batch: &RecordBatch,
) -> Result<ArrayRef, Failure> {
    use arrow_arith::numeric;
    let left = left.evaluate(batch)?;
    if operation == Arithmetic::Negate {
        return Ok(numeric::neg(left.into_rows(batch.num_rows())?.as_ref())?);
    }
    let right = right.evaluate(batch)?;
    let is_scalar = left.is_scalar && right.is_scalar;
    let result = match operation {
        Arithmetic::Add => numeric::add(&left, &right),
        Arithmetic::Subtract => numeric::sub(&left, &right),
        Arithmetic::Multiply => numeric::mul(&left, &right),
        Arithmetic::Divide => numeric::div(&left, &right),
        Arithmetic::Remainder | Arithmetic::Negate => numeric::rem(&left, &right),
    }?;
    Ok(Value { array: result, is_scalar }.into_rows(batch.num_rows())?)
}

fn compare(comparison: Compare, left: &Value, right: &Value) -> Result<BooleanArray, ArrowError> {
    use arrow_ord::cmp;
    match comparison {
        Compare::Equal => cmp::eq(left, right),
        Compare::NotEqual => cmp::neq(left, right),
        Compare::Less => cmp::lt(left, right),
        Compare::LessOrEqual => cmp::lt_eq(left, right),
        Compare::Greater => cmp::gt(left, right),
        Compare::GreaterOrEqual => cmp::gt_eq(left, right),
        Compare::Distinct => cmp::distinct(left, right),
        Compare::NotDistinct => cmp::not_distinct(left, right),
    }
}

/// UTC under the one name that needs no table of zones.
fn offset(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(unit, Some(zone)) if zone.as_ref() == "UTC" => {
            DataType::Timestamp(*unit, Some(Arc::from("+00:00")))
        }
        other => other.clone(),
    }
}

fn renamed(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    let data = array.to_data().into_builder().data_type(to.clone()).build()?;
    Ok(arrow_array::make_array(data))
}

pub fn cast(array: &ArrayRef, to: &DataType, or_null: bool) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions { safe: or_null, ..CastOptions::default() };
    let array = renamed(array, &offset(array.data_type()))?;
    let result = cast_with_options(&array, &offset(to), &options)?;
    if !or_null && result.logical_null_count() > array.logical_null_count() {
        return Err(ArrowError::CastError(format!("a value does not fit {to}")));
    }
    renamed(&result, to)
}
