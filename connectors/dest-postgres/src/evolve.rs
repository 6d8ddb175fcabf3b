//! Stream against table, under the policies of schema evolution: how the stream's columns go into the table's, what has to
//! be altered for that, and what forbids it. It judges what the catalog says and talks to no server; whatever it refuses,
//! it refuses all at once.

use std::fmt;

use rapidbyte_postgres::identifier::{QualifiedName, quote};
use rapidbyte_postgres::types::Enumeration;
use rapidbyte_sdk::prelude::*;
use serde_json::json;

use crate::catalog::{Table, TableColumn};
use crate::column::{Column, Conversion, widened_form};
use crate::type_name::TypeName;
use crate::widen;

/// What of the schema has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    NewColumn,
    RemovedColumn,
    TypeChange,
    NullabilityChange,
}

impl fmt::Display for Axis {
    /// The policy's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Axis::NewColumn => "new_column",
            Axis::RemovedColumn => "removed_column",
            Axis::TypeChange => "type_change",
            Axis::NullabilityChange => "nullability_change",
        })
    }
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Add,
    Drop,
    Widen,
    /// Values are converted to the table's type; one that does not fit is a data error.
    Convert,
    /// The column may be NULL from now on, or is where a value does not fit.
    Null,
    Ignore,
    Refuse,
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Add => "add",
            Action::Drop => "drop",
            Action::Widen => "widen",
            Action::Convert => "convert",
            Action::Null => "null",
            Action::Ignore => "ignore",
            Action::Refuse => "refuse",
        }
    }
}

/// One difference between stream and table, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub axis: Axis,
    pub action: Action,
    pub column: String,
    /// The column's type in the table.
    pub from: Option<String>,
    /// The column's type afterwards, or in the stream where nothing is altered.
    pub to: Option<String>,
    /// What is done to the table, behind `ALTER TABLE name`.
    pub alteration: Option<String>,
    /// Why it is refused.
    pub reason: Option<String>,
}

/// How a stream goes into a table.
#[derive(Debug)]
pub struct Plan {
    /// The columns that are written, fitted to the table as it will be.
    pub columns: Vec<Column>,
    pub changes: Vec<Change>,
}

impl Plan {
    /// One statement that alters the table as planned; none if it stays as it is.
    pub fn alter_sql(&self, table: &QualifiedName) -> Option<String> {
        let alterations: Vec<&str> =
            self.changes.iter().filter_map(|change| change.alteration.as_deref()).collect();
        (!alterations.is_empty()).then(|| format!("ALTER TABLE {table} {}", alterations.join(", ")))
    }

    /// The changes that alter the table.
    pub fn alterations(self) -> Vec<Change> {
        self.changes.into_iter().filter(|change| change.alteration.is_some()).collect()
    }

    /// An error that names everything that is refused.
    pub fn refusal(&self, what: &str) -> Option<ConnectorError> {
        let refused: Vec<&Change> =
            self.changes.iter().filter(|change| change.action == Action::Refuse).collect();
        if refused.is_empty() {
            return None;
        }
        let named = |axis: Axis| {
            refused.iter().filter(move |change| change.axis == axis).map(|change| change.column.as_str())
        };
        let reasons: Vec<&str> = refused.iter().filter_map(|change| change.reason.as_deref()).collect();
        let axes: Vec<String> =
            [Axis::NewColumn, Axis::RemovedColumn, Axis::TypeChange, Axis::NullabilityChange]
                .into_iter()
                .filter(|axis| named(*axis).next().is_some())
                .map(|axis| format!("`{axis}`"))
                .collect();
        Some(
            ConnectorError::schema(
                "schema_mismatch",
                format!(
                    "{what} does not fit the stream: {}; alter the table, or the stream in a transform, or set {} of \
                     `schema_evolution`",
                    reasons.join("; "),
                    axes.join(", ")
                ),
            )
            .with_details(json!({
                "missing": named(Axis::NewColumn).collect::<Vec<_>>(),
                "extra": named(Axis::RemovedColumn).collect::<Vec<_>>(),
                "differing": named(Axis::TypeChange).collect::<Vec<_>>(),
                "nullable": named(Axis::NullabilityChange).collect::<Vec<_>>(),
            })),
        )
    }

    /// Whether rows are written in the very same way as by another plan.
    pub fn loads_like(&self, columns: &[Column]) -> bool {
        self.columns.len() == columns.len()
            && self.columns.iter().zip(columns).all(|(own, other)| own.loads_like(other))
    }
}

/// Judges a table that rows of the stream are to go into. `key`: what rows are merged by.
pub fn plan(
    stream: &[Column],
    key: &[String],
    table: &Table,
    policies: &Policies,
    what: &str,
) -> Result<Plan, ConnectorError> {
    if !matches!(table.kind.as_str(), "r" | "p") {
        let kind = match table.kind.as_str() {
            "v" => "a view",
            "m" => "a materialized view",
            "f" => "a foreign table",
            "S" => "a sequence",
            _ => "something else",
        };
        return Err(ConnectorError::schema("not_a_table", format!("{what} is {kind}, not a table")));
    }
    let mut planner = Planner { table, key, policies, columns: Vec::new(), changes: Vec::new() };
    for column in stream {
        match table.column(&column.name) {
            Some(own) => planner.present(column.clone(), own),
            None => planner.missing(column.clone()),
        }
    }
    for own in &table.columns {
        // What the table fills by itself was never the stream's.
        if !own.filled && !stream.iter().any(|column| column.name == own.name) {
            planner.removed(own);
        }
    }
    if planner.columns.is_empty() && !planner.changes.iter().any(|change| change.action == Action::Refuse) {
        return Err(ConnectorError::schema(
            "no_columns",
            format!("{what} and the stream have no column in common that would be written"),
        ));
    }
    Ok(Plan { columns: planner.columns, changes: planner.changes })
}

struct Planner<'a> {
    table: &'a Table,
    key: &'a [String],
    policies: &'a Policies,
    columns: Vec<Column>,
    changes: Vec<Change>,
}

impl Planner<'_> {
    /// A column that the table does not have.
    fn missing(&mut self, mut column: Column) {
        let axis = Axis::NewColumn;
        let mut change = Change::of(axis, Action::Ignore, &column.name, None);
        change.to = Some(column.type_name.to_string());
        if self.policies.new_column == NewColumnPolicy::Fail {
            return self.refuse(change, format!("the table lacks `{}`", column.name));
        }
        if self.key.contains(&column.name) {
            let reason = format!(
                "the table lacks `{}`, which is part of the key: rows that are there would have none",
                column.name
            );
            return self.refuse(change, reason);
        }
        if self.policies.new_column == NewColumnPolicy::Ignore {
            self.changes.push(change);
            return;
        }
        change.action = Action::Add;
        if let Some(obstacle) = self.fixed() {
            return self.refuse(change, format!("`{}` can't be added: {obstacle}", column.name));
        }
        // Rows that are there have no value: the column may be NULL, whatever the stream says.
        change.alteration = Some(format!("ADD COLUMN {} {}", quote(&column.name), column.type_name));
        self.changes.push(change);
        column.required = false;
        self.columns.push(column);
    }

    /// A column that both have.
    fn present(&mut self, mut column: Column, own: &TableColumn) {
        let is_key = self.key.contains(&column.name);
        column.required = own.not_null || is_key;
        column.collation.clone_from(&own.collation);
        let Some(difference) = difference(&column, own) else {
            if let Some(type_name) = &own.type_name {
                column.form = widened_form(column.form, type_name);
                column.type_name = type_name.clone();
            }
            return self.keep(column, own);
        };
        let mut change = Change::of(Axis::TypeChange, Action::Refuse, &column.name, Some(own));
        change.to = Some(column.type_name.to_string());
        let said = format!("`{}` ({difference})", column.name);
        let policy = self.policies.type_change;
        if policy == TypeChangePolicy::Fail {
            return self.refuse(change, format!("types differ: {said}"));
        }
        if policy == TypeChangePolicy::Ignore {
            if is_key {
                return self.refuse(change, format!("types differ: {said}, and it is part of the key"));
            }
            change.action = Action::Ignore;
            self.changes.push(change);
            if !own.filled {
                self.unfilled(own);
            }
            return;
        }
        let own_type = match &own.type_name {
            Some(own_type) if !own.generated => own_type,
            _ => return self.refuse(change, format!("types differ: {said}")),
        };
        if policy == TypeChangePolicy::Coerce
            && column.enumeration.is_none()
            && let Some(wide) = widen::widened(own_type, &column.type_name)
            && wide != *own_type
        {
            return self.widen(column, own, wide, change);
        }
        let or_null = policy == TypeChangePolicy::Null;
        if or_null && is_key {
            return self.refuse(change, format!("types differ: {said}, and part of a key can't be NULL"));
        }
        let Some(conversion) = conversion(&column, own_type, or_null) else {
            return self.refuse(change, format!("types differ, and no value is safe to convert: {said}"));
        };
        change.action = if or_null { Action::Null } else { Action::Convert };
        self.changes.push(change);
        column.conversion = Some(conversion);
        column.enumeration = None;
        column.type_name = own_type.clone();
        if or_null && own.not_null {
            column.not_null = false;
        }
        self.keep(column, own);
    }

    /// The table's column becomes a wider type.
    fn widen(&mut self, mut column: Column, own: &TableColumn, wide: TypeName, mut change: Change) {
        let name = &column.name;
        let to = format!("from `{}` to `{wide}`", own.type_text);
        let obstacle = self.fixed().or_else(|| {
            let others: Vec<&str> =
                own.dependents.iter().filter(|one| !one.rebuilt).map(|one| one.name.as_str()).collect();
            if own.partitioning {
                Some("the table is partitioned by it; create the table anew with the wider type".to_owned())
            } else if others.is_empty() {
                None
            } else {
                Some(format!(
                    "{} depends on it; drop and create it anew around the change",
                    others.join(", ")
                ))
            }
        });
        if let Some(obstacle) = obstacle {
            return self.refuse(change, format!("`{name}` can't be widened {to}: {obstacle}"));
        }
        if !wide.holds(&column.type_name) {
            match conversion(&column, &wide, false) {
                Some(conversion) => column.conversion = Some(conversion),
                None => return self.refuse(change, format!("`{name}` can't be widened {to}")),
            }
        }
        let collation = own.collation.as_ref().map_or_else(String::new, |collation| format!(" {collation}"));
        change.action = Action::Widen;
        change.to = Some(wide.to_string());
        change.alteration =
            Some(format!("ALTER COLUMN {0} TYPE {wide}{collation} USING {0}::{wide}", quote(name)));
        self.changes.push(change);
        if column.conversion.is_none() {
            column.form = widened_form(column.form, &wide);
        }
        column.type_name = wide;
        self.keep(column, own);
    }

    /// Writes a column, NULL in which may be new.
    fn keep(&mut self, mut column: Column, own: &TableColumn) {
        let may_become_null = own.not_null && !column.not_null;
        let stays = own.identifying || own.identity || self.key.contains(&column.name);
        if may_become_null && !stays && self.allow_null(own, "may be NULL in the stream") {
            column.required = false;
        }
        self.columns.push(column);
    }

    /// A column of the table that gets no values although it has no default.
    fn unfilled(&mut self, own: &TableColumn) {
        if !own.not_null {
            return;
        }
        if own.identifying {
            let change = Change::of(Axis::NullabilityChange, Action::Refuse, &own.name, Some(own));
            let reason = format!(
                "`{}` gets no values, must not be NULL and identifies rows; give it a default",
                own.name
            );
            return self.refuse(change, reason);
        }
        self.allow_null(own, "gets no values");
    }

    /// Lifts NOT NULL, if the policy says so.
    fn allow_null(&mut self, own: &TableColumn, because: &str) -> bool {
        let mut change = Change::of(Axis::NullabilityChange, Action::Null, &own.name, Some(own));
        let obstacle = match self.policies.nullability_change {
            NullabilityChangePolicy::Fail => Some("must not be NULL in the table".to_owned()),
            NullabilityChangePolicy::Allow => {
                self.fixed().map(|obstacle| format!("stays NOT NULL in the table: {obstacle}"))
            }
        };
        if let Some(obstacle) = obstacle {
            self.refuse(change, format!("`{}` {because} and {obstacle}", own.name));
            return false;
        }
        change.alteration = Some(format!("ALTER COLUMN {} DROP NOT NULL", quote(&own.name)));
        self.changes.push(change);
        true
    }

    /// A column of the table that the stream does not have.
    fn removed(&mut self, own: &TableColumn) {
        let name = &own.name;
        let mut change = Change::of(Axis::RemovedColumn, Action::Refuse, name, Some(own));
        match self.policies.removed_column {
            RemovedColumnPolicy::Fail if own.not_null => self.refuse(
                change,
                format!("the stream lacks `{name}`, which must not be NULL and has no default"),
            ),
            RemovedColumnPolicy::Fail => self.refuse(change, format!("the stream lacks `{name}`")),
            RemovedColumnPolicy::Ignore => {
                let changes = self.changes.len();
                self.unfilled(own);
                // Losing its values is how a column shows that it was removed.
                for refused in self.changes[changes..].iter_mut().filter(|one| one.action == Action::Refuse) {
                    refused.axis = Axis::RemovedColumn;
                    refused.reason = Some(format!(
                        "the stream lacks `{name}`, which must not be NULL and has no default; give it one, drop its NOT \
                         NULL"
                    ));
                }
                if self.changes.len() == changes {
                    change.action = Action::Ignore;
                    self.changes.push(change);
                }
            }
            RemovedColumnPolicy::Drop => {
                let obstacle = self.fixed().or_else(|| {
                    let others: Vec<&str> = own.dependents.iter().map(|one| one.name.as_str()).collect();
                    if own.partitioning {
                        Some("the table is partitioned by it".to_owned())
                    } else if others.is_empty() {
                        None
                    } else {
                        Some(format!("{} would go with it; drop that first", others.join(", ")))
                    }
                });
                match obstacle {
                    Some(obstacle) => {
                        self.refuse(change, format!("`{name}` can't be dropped: {obstacle}"));
                    }
                    None => {
                        change.action = Action::Drop;
                        change.alteration = Some(format!("DROP COLUMN {}", quote(name)));
                        self.changes.push(change);
                    }
                }
            }
        }
    }

    /// Why nothing of the table can be altered.
    fn fixed(&self) -> Option<String> {
        match &self.table.parent {
            Some(parent) => Some(format!("its columns come from {parent}; alter that")),
            None if self.table.owned => None,
            None => Some(
                "only the table's owner may alter it; run as that role, or let it alter the table".to_owned(),
            ),
        }
    }

    fn refuse(&mut self, mut change: Change, reason: String) {
        change.action = Action::Refuse;
        change.alteration = None;
        change.reason = Some(reason);
        self.changes.push(change);
    }
}

impl Change {
    fn of(axis: Axis, action: Action, column: &str, own: Option<&TableColumn>) -> Self {
        Change {
            axis,
            action,
            column: column.to_owned(),
            from: own.map(|own| own.type_text.clone()),
            to: None,
            alteration: None,
            reason: None,
        }
    }
}

/// Why values of the stream's column cannot go into the table's as they are.
fn difference(column: &Column, own: &TableColumn) -> Option<String> {
    if own.generated {
        return Some("the table computes it".to_owned());
    }
    if let Some(enumeration) = &column.enumeration {
        let Some(labels) = &own.labels else {
            return Some(format!(
                "enum `{}` in the stream, `{}` in the table",
                enumeration.name, own.type_text
            ));
        };
        return label_difference(enumeration, labels);
    }
    let holds = own.type_name.as_ref().is_some_and(|own| own.holds(&column.type_name));
    (!holds).then(|| format!("`{}` in the stream, `{}` in the table", column.type_name, own.type_text))
}

/// How the server brings values of the stream's column into a type.
fn conversion(column: &Column, to: &TypeName, or_null: bool) -> Option<Conversion> {
    let (from, read_as_text) = match &column.enumeration {
        // Its labels travel as text; the type need not be there.
        Some(_) => (TypeName::of("text"), false),
        None => (column.type_name.clone(), column.cast),
    };
    let sql = |value: &str| widen::conversion(&from, read_as_text, to, value);
    let copied_as = if read_as_text { TypeName::of("text") } else { from.clone() };
    let name = quote(&column.name);
    let never = || (or_null).then(|| format!("NULL::{to}"));
    Some(match sql(&name) {
        Some(sql_over_name) => Conversion {
            from: copied_as,
            or_null: if or_null { sql("$1") } else { None },
            sql: sql_over_name,
        },
        // No value fits.
        None => Conversion { from: copied_as, sql: never()?, or_null: None },
    })
}

/// Why an enum type with these labels does not hold the values of another: a label is missing, or the order is another.
pub fn label_difference(enumeration: &Enumeration, labels: &[String]) -> Option<String> {
    let mut rest = labels.iter();
    for label in &enumeration.labels {
        if !rest.any(|own| own == label) {
            return Some(if labels.contains(label) {
                format!("enum `{}` has its labels in another order", enumeration.name)
            } else {
                format!("enum `{}` lacks the label `{label}`", enumeration.name)
            });
        }
    }
    None
}

#[cfg(test)]
#[path = "evolve_tests.rs"]
mod tests;
