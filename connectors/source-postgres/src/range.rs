//! One partition's range over a relation's column, checked. Asks nothing of the server and knows no SQL.

use rapidbyte_sdk::prelude::*;

use crate::catalog::Relation;
use crate::plan::find;
use crate::position::plain_text;

/// The pseudo-column of a record's place in its table, by which a table can be cut whatever its columns are.
pub(crate) const TID: &str = "ctid";

/// Which records of the stream belong to the partition. Bounds are PostgreSQL's exact text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) field: Field,
    /// Inclusive.
    pub(crate) lower: Option<String>,
    /// Exclusive.
    pub(crate) upper: Option<String>,
    pub(crate) nulls: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// Index of the relation's column.
    Column(usize),
    /// Where the record lies. Updates move records: such a range holds within one snapshot.
    Tid,
}

impl Range {
    /// The range of the stream's partition; none for the whole stream.
    pub(crate) fn of(relation: &Relation, stream: &StreamContext) -> Result<Option<Self>, ConnectorError> {
        let partition = &stream.partition;
        let Some(range) = &partition.range else {
            if partition.count > 1 {
                return Err(ConnectorError::internal(
                    "no_range",
                    format!(
                        "stream `{}`: the host gave no range with partition {} of {}",
                        stream.name, partition.index, partition.count
                    ),
                ));
            }
            return Ok(None);
        };
        let field = Field::of(relation, stream, &range.field)?;
        if field == Field::Tid && stream.snapshot.is_none() {
            return Err(ranges_gone(&stream.name));
        }
        let bound = |value: &Option<CursorValue>| {
            value.as_ref().map(|value| field.bound(relation, stream, range, value)).transpose()
        };
        Ok(Some(Range {
            field,
            lower: bound(&range.lower)?,
            upper: bound(&range.upper)?,
            nulls: range.nulls,
        }))
    }
}

impl Field {
    /// What a range's field means.
    pub(crate) fn of(
        relation: &Relation,
        stream: &StreamContext,
        name: &str,
    ) -> Result<Self, ConnectorError> {
        // No column can have this name.
        if name == TID { Ok(Self::Tid) } else { find(relation, stream, name).map(Self::Column) }
    }

    /// Whether the primary key begins with it.
    pub(crate) fn leads_key(self, relation: &Relation) -> bool {
        matches!(self, Self::Column(index) if relation.primary_key.first() == Some(&index))
    }

    fn bound(
        self,
        relation: &Relation,
        stream: &StreamContext,
        range: &PartitionRange,
        value: &CursorValue,
    ) -> Result<String, ConnectorError> {
        let text = match (self, value) {
            (Self::Tid, CursorValue::Utf8(text)) => Some(text.clone()),
            (Self::Tid, _) => None,
            (Self::Column(index), value) => plain_text(value, relation.columns[index].column_type.codec),
        };
        text.ok_or_else(|| {
            let message = format!(
                "stream `{}`: a range over `{}` can't begin or end at a {}; start the stream over with \
                 `rapidbyte state reset`",
                stream.name,
                range.field,
                value.type_name()
            );
            ConnectorError::config("partition", message).with_code("range_mismatch")
        })
    }
}

/// Ranges over places are asked for in another snapshot than theirs.
pub(crate) fn ranges_gone(stream: &str) -> ConnectorError {
    ConnectorError::transient_db(
        "ranges_gone",
        format!(
            "stream `{stream}` was cut by `{TID}`, which holds in one snapshot alone, and that is gone: its \
             reading has to start over"
        ),
    )
    .not_retryable()
}
