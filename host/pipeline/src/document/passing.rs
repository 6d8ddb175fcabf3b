//! `transforms` and `contracts`: what happens to records on their way and what they have to hold. Expressions are not looked
//! into.

use std::collections::HashMap;

use rapidbyte_core::contract::ConnectorRole;

use super::read_connector;
use super::streams::read_columns;
use crate::diagnostic::Diagnostic;
use crate::format::{
    ADD_COLUMN, CAST_COLUMN, COLUMN_RULE, CONTRACT, NOTIFY, OPERATION, RENAME_COLUMN, REQUIRED_COLUMN,
    TRANSFORM,
};
use crate::limits::{COLUMN_NAME_BYTES_MAX, STREAM_NAME_BYTES_MAX};
use crate::node::{Kind, Node, shorten};
use crate::reader::{Keys, Reader, Section, one_of};
use crate::span::{Span, Spanned};
use crate::spec::{
    ColumnRule, ContractSpec, Notify, OnViolation, OperationSpec, RequiredColumn, TransformKind,
    TransformSpec,
};

/// A mapping in a list: its keys, and its place from the first of them.
fn item<'n>(
    reader: &mut Reader<'_>,
    node: &'n Node,
    place: &str,
    keys: impl Into<Keys>,
) -> Option<(Section<'n>, Span)> {
    let start = node.entries().first().map_or(node.span, |entry| entry.key.span);
    let section = reader.section(node, place, start, keys)?;
    Some((section, Span::new(start.start as usize, node.span.end as usize)))
}

pub(super) fn read_transforms(reader: &mut Reader<'_>, node: &Node) -> Vec<TransformSpec> {
    if node.is_null() {
        return Vec::new();
    }
    let Some(items) = reader.list(node, "`transforms`") else { return Vec::new() };
    items
        .iter()
        .enumerate()
        .filter_map(|(index, node)| read_transform(reader, node, &format!("transforms[{index}]")))
        .collect()
}

fn read_transform(reader: &mut Reader<'_>, node: &Node, place: &str) -> Option<TransformSpec> {
    let (section, span) = item(reader, node, &format!("`{place}`"), &TRANSFORM)?;
    let stream = match section.get("stream") {
        Some(node) => Some(reader.name(node, &format!("`{place}.stream`"), STREAM_NAME_BYTES_MAX)?),
        None => None,
    };
    let kind = match (section.entry("use").or(section.entry("config")), section.entry("operations")) {
        (Some(connector), Some(operations)) => {
            let message = format!("`{place}` has `{}` and `operations`", connector.key.value);
            reader.error(
                Diagnostic::error("connector_with_operations", operations.key.span, message)
                    .related(connector.key.span, "the connector is named here")
                    .help("make two transforms of it: records pass them in order"),
            );
            return None;
        }
        (None, Some(entry)) => {
            let operations = read_operations(reader, &entry.value, entry.key.span, place)?;
            TransformKind::Operations { operations }
        }
        (None, None) => {
            let message = format!("`{place}` lacks `use` or `operations`");
            let help = "name a transform connector with `use`, or list `operations` of the host";
            reader.error(Diagnostic::error("missing_key", section.at, message).help(help));
            return None;
        }
        (Some(_), None) => {
            TransformKind::Connector(read_connector(reader, section, ConnectorRole::Transform, place, "use")?)
        }
    };
    Some(TransformSpec { stream, kind, span })
}

fn read_operations(
    reader: &mut Reader<'_>,
    node: &Node,
    at: Span,
    place: &str,
) -> Option<Vec<Spanned<OperationSpec>>> {
    let items = reader.list(node, &format!("`{place}.operations`"))?;
    if items.is_empty() {
        let message = format!("`{place}.operations` is empty");
        let error = Diagnostic::error("empty_list", at, message);
        reader.error(error.help("leave the transform out, or say what it does: `- filter: \"amount > 0\"`"));
        return None;
    }
    let operations: Vec<_> = items
        .iter()
        .enumerate()
        .filter_map(|(index, node)| read_operation(reader, node, &format!("{place}.operations[{index}]")))
        .collect();
    // A wrong one has left an error.
    (operations.len() == items.len()).then_some(operations)
}

fn read_operation(reader: &mut Reader<'_>, node: &Node, place: &str) -> Option<Spanned<OperationSpec>> {
    let found_before = reader.errors.len();
    let (section, span) = item(reader, node, &format!("`{place}`"), &OPERATION)?;
    let entry = match node.entries() {
        [entry] => entry,
        [] => {
            let message = format!("`{place}` has no operation");
            let help = format!("it can be {}", one_of(Keys::from(&OPERATION).names()));
            reader.error(Diagnostic::error("missing_key", section.at, message).help(help));
            return None;
        }
        [_, second, ..] => {
            // An unknown key is what is wrong then.
            if reader.errors.len() == found_before {
                let message = format!("`{place}` has more than one operation");
                let error = Diagnostic::error("several_operations", second.key.span, message);
                reader.error(
                    error
                        .help(format!("make it an item of its own: `- {}: ...`", shorten(&second.key.value))),
                );
            }
            return None;
        }
    };
    let (node, at) = (&entry.value, entry.key.span);
    let whole = format!("`{place}.{}`", shorten(&entry.key.value));
    let part = |key: &str| format!("`{place}.{}.{key}`", entry.key.value);
    let column = |reader: &mut Reader<'_>, section: Section<'_>, key: &str| {
        let node = reader.required(section, &whole, key)?;
        reader.name(node, &part(key), COLUMN_NAME_BYTES_MAX)
    };
    let operation = match entry.key.value.as_str() {
        "rename_column" => {
            let section = reader.section(node, &whole, at, &RENAME_COLUMN)?;
            let (from, to) = (column(reader, section, "from"), column(reader, section, "to"));
            let (from, to) = (from?, to?);
            if from.value == to.value {
                let message = "a column cannot be renamed to what it is called";
                reader.error(
                    Diagnostic::error("rename_to_itself", to.span, message).related(from.span, "its name"),
                );
                return None;
            }
            OperationSpec::RenameColumn { from, to }
        }
        "add_column" => {
            let section = reader.section(node, &whole, at, &ADD_COLUMN)?;
            let name = column(reader, section, "name");
            let expression = reader.required(section, &whole, "expression");
            let expression = expression.and_then(|node| reader.expression(node, &part("expression")));
            OperationSpec::AddColumn { name: name?, expression: expression? }
        }
        "cast_column" => {
            let section = reader.section(node, &whole, at, &CAST_COLUMN)?;
            let (column, to) = (column(reader, section, "column"), column(reader, section, "to"));
            OperationSpec::CastColumn { column: column?, to: to? }
        }
        "drop_columns" => {
            let names = read_columns(reader, section, "drop_columns", &whole)?;
            OperationSpec::DropColumns(names.value)
        }
        "filter" => OperationSpec::Filter(reader.expression(node, &whole)?),
        "sql" => OperationSpec::Sql(reader.expression(node, &whole)?),
        _ => return None,
    };
    Some(Spanned::new(operation, span))
}

pub(super) fn read_contracts(reader: &mut Reader<'_>, node: &Node) -> Vec<ContractSpec> {
    if node.is_null() {
        return Vec::new();
    }
    let Some(items) = reader.list(node, "`contracts`") else { return Vec::new() };
    items
        .iter()
        .enumerate()
        .filter_map(|(index, node)| read_contract(reader, node, &format!("contracts[{index}]")))
        .collect()
}

fn read_contract(reader: &mut Reader<'_>, node: &Node, place: &str) -> Option<ContractSpec> {
    let (section, span) = item(reader, node, &format!("`{place}`"), &CONTRACT)?;
    let stream = reader.required(section, &format!("`{place}`"), "stream");
    let stream =
        stream.and_then(|node| reader.name(node, &format!("`{place}.stream`"), STREAM_NAME_BYTES_MAX));
    let on_violation = read_violation(reader, section, place);
    let default = on_violation.unwrap_or(Spanned::default_of(OnViolation::Fail));
    let required_columns = read_list(reader, section, place, "required_columns", read_required_column);
    let column_rules = read_list(reader, section, place, "column_rules", |reader, node, place| {
        read_rule(reader, node, place, default)
    });
    let notify = match section.entry("notify") {
        Some(entry) => read_notify(reader, &entry.value, entry.key.span, place),
        None => None,
    };
    if section.get("required_columns").is_none() && section.get("column_rules").is_none() {
        let message = format!("`{place}` lacks `required_columns` or `column_rules`");
        let help = "say what the records have to hold, or leave the contract out";
        reader.error(Diagnostic::error("missing_key", section.at, message).help(help));
    }
    check_twice(reader, &required_columns);
    Some(ContractSpec {
        stream: stream?,
        required_columns,
        column_rules,
        on_violation: default,
        notify,
        span,
    })
}

/// The items of a list that is not empty; a wrong one has left an error.
fn read_list<T>(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    place: &str,
    key: &str,
    mut read: impl FnMut(&mut Reader<'_>, &Node, &str) -> Option<T>,
) -> Vec<T> {
    let Some(entry) = section.entry(key) else { return Vec::new() };
    let Some(items) = reader.list(&entry.value, &format!("`{place}.{key}`")) else { return Vec::new() };
    if items.is_empty() {
        let message = format!("`{place}.{key}` is empty");
        let error = Diagnostic::error("empty_list", entry.key.span, message);
        reader.error(error.help("leave the key out if there is nothing to say"));
    }
    items
        .iter()
        .enumerate()
        .filter_map(|(index, node)| read(reader, node, &format!("{place}.{key}[{index}]")))
        .collect()
}

fn read_required_column(reader: &mut Reader<'_>, node: &Node, place: &str) -> Option<RequiredColumn> {
    if let Kind::Scalar(scalar) = &node.kind {
        let message = format!("`{place}` must be a mapping, not {}", node.describe());
        let help = format!("write `{{ name: {} }}`", shorten(scalar.raw()));
        reader.error(Diagnostic::error("wrong_type", node.span, message).help(help));
        return None;
    }
    let (section, _) = item(reader, node, &format!("`{place}`"), &REQUIRED_COLUMN)?;
    let name = reader.required(section, &format!("`{place}`"), "name");
    let name = name.and_then(|node| reader.name(node, &format!("`{place}.name`"), COLUMN_NAME_BYTES_MAX));
    let data_type = section
        .get("type")
        .and_then(|node| reader.name(node, &format!("`{place}.type`"), COLUMN_NAME_BYTES_MAX));
    let nullable = section.get("nullable").and_then(|node| {
        reader.boolean(node, &format!("`{place}.nullable`")).map(|nullable| Spanned::new(nullable, node.span))
    });
    Some(RequiredColumn { name: name?, data_type, nullable })
}

fn check_twice(reader: &mut Reader<'_>, columns: &[RequiredColumn]) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for column in columns {
        if let Some(first) = seen.insert(&column.name, column.name.span) {
            let message = format!(
                "`required_columns` names `{}` twice",
                shorten(&super::rules::written(reader, &column.name))
            );
            let error = Diagnostic::error("duplicate_name", column.name.span, message);
            reader.error(error.label("named again").related(first, "first named here"));
        }
    }
}

fn read_rule(
    reader: &mut Reader<'_>,
    node: &Node,
    place: &str,
    default: Spanned<OnViolation>,
) -> Option<ColumnRule> {
    let (section, _) = item(reader, node, &format!("`{place}`"), &COLUMN_RULE)?;
    let column = reader.required(section, &format!("`{place}`"), "column");
    let column =
        column.and_then(|node| reader.name(node, &format!("`{place}.column`"), COLUMN_NAME_BYTES_MAX));
    let check = reader.required(section, &format!("`{place}`"), "check");
    let check = check.and_then(|node| reader.expression(node, &format!("`{place}.check`")));
    let on_violation = read_violation(reader, section, place).unwrap_or(default);
    Some(ColumnRule { column: column?, check: check?, on_violation })
}

fn read_violation(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    place: &str,
) -> Option<Spanned<OnViolation>> {
    let words = super::policies::words(OnViolation::ALL, OnViolation::as_str);
    reader.word(section.get("on_violation")?, &format!("`{place}.on_violation`"), &words)
}

fn read_notify(reader: &mut Reader<'_>, node: &Node, at: Span, place: &str) -> Option<Notify> {
    let whole = format!("`{place}.notify`");
    let section = reader.section(node, &whole, at, &NOTIFY)?;
    let (key, node) = match (section.get("slack_webhook"), section.get("webhook")) {
        (Some(node), None) => ("slack_webhook", node),
        (None, Some(node)) => ("webhook", node),
        (None, None) => {
            reader.error(Diagnostic::error(
                "missing_key",
                section.at,
                format!("{whole} lacks `slack_webhook` or `webhook`"),
            ));
            return None;
        }
        (Some(_), Some(node)) => {
            let message = format!("{whole} has `slack_webhook` and `webhook`");
            reader.error(Diagnostic::error("several_webhooks", node.span, message).help("keep one of them"));
            return None;
        }
    };
    let url = reader.secret(node, &format!("`{place}.notify.{key}`"))?;
    if !["https://", "http://"].iter().any(|scheme| url.expose().starts_with(scheme)) {
        let message = format!("`{place}.notify.{key}` is no address of the web");
        let help = "it starts with `https://`; take it from the environment: `\"${SLACK_WEBHOOK}\"`";
        reader.error(Diagnostic::error("invalid_value", node.span, message).help(help));
        return None;
    }
    Some(if key == "webhook" { Notify::Webhook(url) } else { Notify::SlackWebhook(url) })
}
