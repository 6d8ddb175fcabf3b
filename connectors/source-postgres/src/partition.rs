//! Cutting one stream into ranges, in a moment that stays open for those who read them. Knows how large a part has to be to
//! be worth it and where boundaries come from; what a range means to a reader is [`range`](crate::range)'s.

use rapidbyte_postgres::Session;
use rapidbyte_postgres::types::Codec;
use rapidbyte_sdk::prelude::*;
use tokio_postgres::types::Type;

use crate::catalog::{self, Relation, get};
use crate::config::Config;
use crate::limits::{
    LOCK_CHILDREN_VERSION_NUM_MIN, PARTITIONS_MAX, SAMPLE_BLOCKS_MAX, TID_RANGE_VERSION_NUM_MIN,
};
use crate::range::{Field, TID, ranges_gone};
use crate::{filter, query, snapshot};

/// The relation `$1` with all that inherits from it.
const SHAPE: &str = "\
WITH RECURSIVE tree AS ( \
    SELECT c.oid, c.relkind FROM pg_catalog.pg_class c WHERE c.oid = $1 \
    UNION \
    SELECT c.oid, c.relkind FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid \
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid \
) \
SELECT (SELECT c.relkind::text FROM pg_catalog.pg_class c WHERE c.oid = $1), \
    pg_catalog.has_table_privilege($1, 'SELECT'), count(*) = 1, coalesce(bool_or(relkind = 'f'), false), \
    coalesce(sum(CASE WHEN relkind IN ('r', 'm') THEN pg_catalog.pg_relation_size(oid) END), 0)::int8, \
    coalesce(sum(CASE WHEN relkind IN ('r', 'm') THEN pg_catalog.pg_table_size(oid) END), 0)::int8, \
    current_setting('block_size')::int8 \
FROM tree";

/// What kind of thing the relation is, and how large.
struct Shape {
    /// `LOCK TABLE` takes it, and takes this user.
    lockable: bool,
    /// It has blocks to sample.
    sampled: bool,
    /// It has one row of blocks, which places count.
    alone: bool,
    blocks: u64,
    /// With what it keeps out of line.
    bytes: u64,
}

/// Cuts the stream. With a snapshot in the plan, the session holds it open. None: it was cancelled.
pub(crate) async fn partition(
    session: &Session,
    config: &Config,
    ctx: &Context,
    stream: &StreamContext,
) -> Result<Option<PartitionPlan>, ConnectorError> {
    let cut = Cut { session, config, stream };
    // A locked table keeps everybody waiting.
    let plan = tokio::select! {
        biased;
        () = ctx.cancelled() => return Ok(None),
        plan = cut.plan() => plan?,
    };
    let fields = [("stream", (&stream.name).into()), ("ranges", plan.ranges.len().into())];
    ctx.log().debug("partitioned", &fields);
    Ok(Some(plan))
}

struct Cut<'a> {
    session: &'a Session,
    config: &'a Config,
    stream: &'a StreamContext,
}

impl Cut<'_> {
    async fn plan(&self) -> Result<PartitionPlan, ConnectorError> {
        if let Some(predicate) = &self.stream.filter {
            filter::check(&self.stream.name, predicate)?;
        }
        let before = catalog::find(self.session, self.config, &self.stream.name).await?;
        let shape = self.shape(&before).await?;
        let partition = &self.stream.partition;
        if let Some(range) = &partition.range {
            if Field::of(&before, self.stream, &range.field)? == Field::Tid {
                return Err(ranges_gone(&self.stream.name));
            }
            self.begin(&before, &shape).await?;
            return Ok(PartitionPlan { snapshot: Some(self.export().await?), ranges: vec![range.clone()] });
        }
        let key = self.stream.partition_key.as_deref();
        let key = key.map(|name| Field::of(&before, self.stream, name)).transpose()?;
        let count = self.count(&shape, key.is_some());
        if count < 2 || !shape.sampled {
            return Ok(PartitionPlan::default());
        }
        self.begin(&before, &shape).await?;
        // What was found before the lock may have changed until it was had.
        let relation = catalog::find(self.session, self.config, &self.stream.name).await?;
        let shape = self.shape(&relation).await?;
        let plan = self.ranges(&relation, &shape, key, count).await?;
        if plan.ranges.len() < 2 {
            self.session.execute("ending the snapshot", query::END).await?;
            return Ok(PartitionPlan::default());
        }
        Ok(plan.with_snapshot(self.export().await?))
    }

    async fn shape(&self, relation: &Relation) -> Result<Shape, ConnectorError> {
        let rows = catalog::query(self.session, SHAPE, &[(&relation.oid, Type::OID)]).await?;
        let Some(row) = rows.first() else {
            return Err(ConnectorError::internal(
                "protocol_error",
                "the server did not say how large a table is",
            ));
        };
        let kind = get::<Option<&str>>(self.session, row, 0)?.unwrap_or_default();
        let may_lock = get::<Option<bool>>(self.session, row, 1)?.unwrap_or(false);
        let single: bool = get(self.session, row, 2)?;
        let has_foreign: bool = get(self.session, row, 3)?;
        let size = |index| get::<i64>(self.session, row, index).map(|size| u64::try_from(size).unwrap_or(0));
        let locks_all = single || self.session.server_version_num() >= LOCK_CHILDREN_VERSION_NUM_MIN;
        Ok(Shape {
            lockable: may_lock && locks_all && matches!(kind, "r" | "p"),
            sampled: matches!(kind, "r" | "p" | "m") && !has_foreign,
            alone: matches!(kind, "r" | "m") && single,
            blocks: size(4)? / size(6)?.max(1),
            bytes: size(5)?,
        })
    }

    /// How many ranges are worth it.
    fn count(&self, shape: &Shape, has_key: bool) -> u32 {
        let asked = self.stream.partition.count.min(PARTITIONS_MAX);
        // Behind a position there is a rest that nobody knows the size of, and one position can't be behind all ranges.
        if self.stream.position.is_some() {
            return 1;
        }
        if has_key {
            return asked;
        }
        let worth = shape.bytes / self.config.partition_bytes_min.max(1);
        asked.min(u32::try_from(worth).unwrap_or(u32::MAX))
    }

    /// Opens the moment with the relation locked, so that nothing is rewritten under its readers.
    async fn begin(&self, relation: &Relation, shape: &Shape) -> Result<(), ConnectorError> {
        self.session.execute("starting a snapshot", query::BEGIN).await?;
        if shape.lockable {
            // Before the snapshot: what is truncated between the two would look empty.
            let doing = format!("locking stream `{}` against changes of its form", self.stream.name);
            self.session.execute(&doing, &query::lock(relation)).await?;
        }
        snapshot::probe(self.session, relation, &self.stream.name, self.stream.filter.as_deref()).await
    }

    async fn export(&self) -> Result<String, ConnectorError> {
        let rows = catalog::query(self.session, "SELECT pg_catalog.pg_export_snapshot()", &[]).await?;
        let snapshot: Option<String> = rows.first().map(|row| get(self.session, row, 0)).transpose()?;
        snapshot.ok_or_else(|| ConnectorError::internal("protocol_error", "the server named no snapshot"))
    }

    async fn ranges(
        &self,
        relation: &Relation,
        shape: &Shape,
        key: Option<Field>,
        count: u32,
    ) -> Result<PartitionPlan, ConnectorError> {
        match key {
            Some(Field::Column(index)) => self.by_value(relation, shape, index, count).await,
            Some(Field::Tid) => self.by_place(shape, count),
            None => {
                // A key may begin with one value for all.
                for index in &relation.primary_key {
                    let plan = self.by_value(relation, shape, *index, count).await?;
                    if plan.ranges.len() > 1 {
                        return Ok(plan);
                    }
                }
                Ok(PartitionPlan::default())
            }
        }
    }

    /// Only where the user asks for it by name: such ranges do not outlive their snapshot, so that a broken reading can't
    /// continue.
    fn by_place(&self, shape: &Shape, count: u32) -> Result<PartitionPlan, ConnectorError> {
        if shape.alone && self.session.server_version_num() >= TID_RANGE_VERSION_NUM_MIN {
            return Ok(by_place(shape, count));
        }
        let message = format!(
            "stream `{}` can't be cut by `{TID}`: it takes a table without children and PostgreSQL {}",
            self.stream.name,
            TID_RANGE_VERSION_NUM_MIN / 10_000
        );
        Err(ConnectorError::config("partition_key", message).with_code("partition_key_unordered"))
    }

    /// Cuts where a sample says that as many records lie between any two cuts.
    async fn by_value(
        &self,
        relation: &Relation,
        shape: &Shape,
        index: usize,
        count: u32,
    ) -> Result<PartitionPlan, ConnectorError> {
        let column = &relation.columns[index];
        let percent = 100.0 * (SAMPLE_BLOCKS_MAX as f64 / shape.blocks.max(1) as f64).min(1.0);
        let sql = query::boundaries(relation, column, self.stream.filter.as_deref(), percent, count);
        let rows = self.session.client().query_typed(&sql, &[]).await.map_err(|error| {
            let no_order = error.as_db_error().is_some_and(|error| error.code().code() == "42883");
            if !no_order {
                return self.session.error(&format!("sampling stream `{}`", self.stream.name), &error);
            }
            let message = format!(
                "stream `{}`: column `{}` of type `{}` has no order, so it can't be cut into ranges",
                self.stream.name, column.name, column.column_type.type_name
            );
            ConnectorError::config("partition_key", message).with_code("partition_key_unordered")
        })?;
        let mut boundaries = Vec::with_capacity(rows.len());
        // The first is the least of the sample: below it there is next to nothing.
        for row in rows.iter().skip(1) {
            let text: String = get(self.session, row, 0)?;
            boundaries.push(typed(column.column_type.codec, text));
        }
        Ok(PartitionPlan::cut(&column.name, boundaries))
    }
}

/// A boundary as the contract carries it.
fn typed(codec: Codec, text: String) -> CursorValue {
    match codec {
        Codec::Int16 | Codec::Int32 | Codec::Int64 | Codec::UInt32 => {
            text.parse().map_or(CursorValue::Utf8(text), CursorValue::Int64)
        }
        Codec::NumericText | Codec::NumericDecimal { .. } => CursorValue::Decimal(text),
        _ => CursorValue::Utf8(text),
    }
}

/// Cuts into as many blocks each. The last range has what has come behind the last block since.
fn by_place(shape: &Shape, count: u32) -> PartitionPlan {
    let count = u64::from(count).min(shape.blocks.max(1));
    let boundaries = (1..count).map(|index| {
        let block = u128::from(shape.blocks) * u128::from(index) / u128::from(count);
        CursorValue::Utf8(format!("({block},0)"))
    });
    PartitionPlan::cut(TID, boundaries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_cut_evenly() {
        let shape =
            |blocks| Shape { lockable: true, sampled: true, alone: true, blocks, bytes: blocks * 8192 };
        let bounds = |blocks, count| {
            let ranges = by_place(&shape(blocks), count).ranges;
            ranges
                .iter()
                .filter_map(|range| range.lower.as_ref().map(CursorValue::value_text))
                .collect::<Vec<_>>()
        };
        assert_eq!(bounds(10, 4), ["(2,0)", "(5,0)", "(7,0)"]);
        assert_eq!(bounds(2, 4), ["(1,0)"]);
        assert!(bounds(0, 4).is_empty());
        assert_eq!(bounds(u64::from(u32::MAX), 2), ["(2147483647,0)"]);
    }
}
