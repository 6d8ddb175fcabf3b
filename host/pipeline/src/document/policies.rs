//! `schema_evolution` and `on_data_error`, of the destination or of a stream, and what becomes of both together.

use rapidbyte_core::contract::{
    DataErrorPolicy, NewColumnPolicy, NullabilityChangePolicy, Policies, RemovedColumnPolicy,
    TypeChangePolicy,
};

use crate::format::EVOLUTION;
use crate::reader::{Reader, Section};
use crate::span::Spanned;
use crate::spec::DEFAULT_POLICIES;

/// The words of one place.
#[derive(Default)]
pub(super) struct PolicyWords {
    pub on_data_error: Option<Spanned<DataErrorPolicy>>,
    new_column: Option<NewColumnPolicy>,
    removed_column: Option<RemovedColumnPolicy>,
    type_change: Option<TypeChangePolicy>,
    nullability_change: Option<NullabilityChangePolicy>,
}

/// A stream's words over the destination's, and below both the pipeline's policy for records that are refused.
pub(super) fn resolve(
    stream: Option<&PolicyWords>,
    destination: &PolicyWords,
    on_error: DataErrorPolicy,
) -> Policies {
    let none = PolicyWords::default();
    let stream = stream.unwrap_or(&none);
    let on_data_error = stream.on_data_error.or(destination.on_data_error).map(|policy| policy.value);
    let default = DEFAULT_POLICIES;
    Policies {
        on_data_error: on_data_error.unwrap_or(on_error),
        new_column: stream.new_column.or(destination.new_column).unwrap_or(default.new_column),
        removed_column: stream
            .removed_column
            .or(destination.removed_column)
            .unwrap_or(default.removed_column),
        type_change: stream.type_change.or(destination.type_change).unwrap_or(default.type_change),
        nullability_change: stream
            .nullability_change
            .or(destination.nullability_change)
            .unwrap_or(default.nullability_change),
    }
}

pub(super) fn read(reader: &mut Reader<'_>, section: Section<'_>, whose: &str) -> PolicyWords {
    let mut policies = PolicyWords::default();
    if let Some(node) = section.get("on_data_error") {
        let words = words(DataErrorPolicy::ALL, DataErrorPolicy::as_str);
        policies.on_data_error = reader.word(node, &format!("{whose} `on_data_error`"), &words);
    }
    let Some(entry) = section.entry("schema_evolution") else { return policies };
    let Some(axes) =
        reader.section(&entry.value, &format!("{whose} `schema_evolution`"), entry.key.span, &EVOLUTION)
    else {
        return policies;
    };
    policies.new_column = axis(reader, axes, "new_column", NewColumnPolicy::ALL, NewColumnPolicy::as_str);
    policies.removed_column =
        axis(reader, axes, "removed_column", RemovedColumnPolicy::ALL, RemovedColumnPolicy::as_str);
    policies.type_change = axis(reader, axes, "type_change", TypeChangePolicy::ALL, TypeChangePolicy::as_str);
    policies.nullability_change = axis(
        reader,
        axes,
        "nullability_change",
        NullabilityChangePolicy::ALL,
        NullabilityChangePolicy::as_str,
    );
    policies
}

fn axis<T: Copy>(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    all: &[T],
    word: fn(T) -> &'static str,
) -> Option<T> {
    let node = section.get(key)?;
    reader.word(node, &format!("`schema_evolution.{key}`"), &words(all, word)).map(|policy| policy.value)
}

pub(super) fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Vec<(&'static str, T)> {
    all.iter().map(|value| (word(*value), *value)).collect()
}
