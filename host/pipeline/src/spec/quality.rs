//! What happens to records on their way, and what they have to hold: transforms and contracts. Expressions are texts here;
//! who plans them points back by [`OperationSpec::span_of`].

use serde::Serialize;

use super::{ConnectorRef, SecretText};
use crate::span::{Span, Spanned};

/// One item of `transforms`.
#[derive(Debug, Clone, Serialize)]
pub struct TransformSpec {
    /// The only stream that passes it. None: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<Spanned<String>>,
    #[serde(flatten)]
    pub kind: TransformKind,
    /// The item's place in the document.
    #[serde(skip)]
    pub span: Span,
}

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum TransformKind {
    /// A transform connector in its sandbox.
    Connector(ConnectorRef),
    /// Operations of the host, in order. Never empty.
    Operations { operations: Vec<Spanned<OperationSpec>> },
}

impl TransformSpec {
    /// The connector, if it is one.
    pub fn connector(&self) -> Option<&ConnectorRef> {
        match &self.kind {
            TransformKind::Connector(connector) => Some(connector),
            TransformKind::Operations { .. } => None,
        }
    }

    /// The operations of the host; empty for a connector.
    pub fn operations(&self) -> &[Spanned<OperationSpec>] {
        match &self.kind {
            TransformKind::Connector(_) => &[],
            TransformKind::Operations { operations } => operations,
        }
    }
}

/// One operation, every value with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationSpec {
    RenameColumn { from: Spanned<String>, to: Spanned<String> },
    AddColumn { name: Spanned<String>, expression: Spanned<String> },
    CastColumn { column: Spanned<String>, to: Spanned<String> },
    DropColumns(Vec<Spanned<String>>),
    Filter(Spanned<String>),
    Sql(Spanned<String>),
}

impl OperationSpec {
    /// The place of a key's value: `expression` of an `add_column`, `predicate` of a `filter`, `columns` of `drop_columns`.
    pub fn span_of(&self, key: &str) -> Option<Span> {
        let found = match (self, key) {
            (Self::RenameColumn { from: value, .. }, "from")
            | (Self::RenameColumn { to: value, .. }, "to")
            | (Self::AddColumn { name: value, .. }, "name")
            | (Self::AddColumn { expression: value, .. }, "expression")
            | (Self::CastColumn { column: value, .. }, "column")
            | (Self::CastColumn { to: value, .. }, "to")
            | (Self::Filter(value), "filter" | "predicate")
            | (Self::Sql(value), "sql" | "query") => value,
            (Self::DropColumns(columns), "columns" | "drop_columns") => {
                let (first, last) = (columns.first()?.span, columns.last()?.span);
                return Some(Span { start: first.start, end: last.end.max(first.end) });
            }
            _ => return None,
        };
        Some(found.span)
    }
}

/// What the records of one stream have to hold.
#[derive(Debug, Clone, Serialize)]
pub struct ContractSpec {
    pub stream: Spanned<String>,
    pub required_columns: Vec<RequiredColumn>,
    pub column_rules: Vec<ColumnRule>,
    /// For what the rules do not say themselves, and for required columns.
    pub on_violation: Spanned<OnViolation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    #[serde(skip)]
    pub span: Span,
}

/// A column that must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequiredColumn {
    pub name: Spanned<String>,
    /// As Arrow or SQL names it: `Utf8`, `Int64`, `DECIMAL(18,2)`. None: any.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub data_type: Option<Spanned<String>>,
    /// False: no value may be null. None: not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nullable: Option<Spanned<bool>>,
}

/// SQL over `value` that is true for every value of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnRule {
    pub column: Spanned<String>,
    pub check: Spanned<String>,
    /// Its own, or the contract's.
    pub on_violation: Spanned<OnViolation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnViolation {
    Fail,
    Warn,
    DropRow,
}

impl OnViolation {
    pub const ALL: &[OnViolation] = &[OnViolation::Fail, OnViolation::Warn, OnViolation::DropRow];

    pub const fn as_str(self) -> &'static str {
        match self {
            OnViolation::Fail => "fail",
            OnViolation::Warn => "warn",
            OnViolation::DropRow => "drop_row",
        }
    }
}

/// Who is told of violations.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Notify {
    /// An incoming webhook of Slack: gets `{ "text": … }`.
    SlackWebhook(SecretText),
    /// Any other: gets the violations as JSON.
    Webhook(SecretText),
}

impl Notify {
    pub fn url(&self) -> &SecretText {
        match self {
            Notify::SlackWebhook(url) | Notify::Webhook(url) => url,
        }
    }
}
