//! Names in the target database: which table a stream goes to, and the names that are ours. Knows no SQL but quoting.

use rapidbyte_postgres::identifier::{QualifiedName, parse_stream_name};
use rapidbyte_sdk::prelude::*;

use crate::limits::IDENTIFIER_BYTES_MAX;

/// Tables, types and indexes that begin like this are ours.
const OWN_PREFIX: &str = "_rapidbyte_";
/// The table of receipts, one in each target schema.
pub const RECEIPTS: &str = "_rapidbyte_receipts";
/// The temporary table that rows are copied into before they are merged or cast.
pub const LOAD_TABLE: &str = "_rapidbyte_load";
/// Functions of a session that convert a value or make it NULL, by the column's number.
pub const OR_NULL_FUNCTION: &str = "_rapidbyte_or_null_";
/// The column of the load table that numbers rows in the order of their arrival.
const ORDINAL: &str = "_rapidbyte_row";

/// What is wrong with a name as an identifier.
pub fn fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("is empty".to_owned());
    }
    if name.contains('\0') {
        return Some("contains a zero byte".to_owned());
    }
    if name.len() > IDENTIFIER_BYTES_MAX {
        return Some(format!(
            "has {} bytes; PostgreSQL keeps {IDENTIFIER_BYTES_MAX} and would cut the rest off",
            name.len()
        ));
    }
    None
}

/// What one run writes, and the names that follow from it.
#[derive(Debug, Clone)]
pub struct Task {
    pub pipeline: String,
    pub stream: String,
    pub partition: u32,
    /// How many partitions the stream is read in.
    pub partitions: u32,
    /// Checkpoints up to this one belong to an earlier reading.
    pub floor: u64,
    pub table: QualifiedName,
    /// Of pipeline, stream, partition and table: two tasks never share a lock.
    hash: u64,
    /// Of the same without the partition: what all partitions share.
    stream_hash: u64,
}

impl Task {
    /// The table of stream `orders` is `orders`, that of `sales.orders` is `sales__orders`.
    pub fn new(stream: &StreamContext, schema: &str) -> Result<Self, ConnectorError> {
        let name = match parse_stream_name(&stream.name) {
            Some((None, table)) => table,
            Some((Some(schema), table)) => format!("{schema}__{table}"),
            None => stream.name.clone(),
        };
        if let Some(fault) = fault(&name) {
            return Err(ConnectorError::schema(
                "invalid_table_name",
                format!("stream `{}`: the table name `{name}` {fault}", stream.name),
            ));
        }
        if name.starts_with(OWN_PREFIX) {
            return Err(ConnectorError::schema(
                "reserved_table_name",
                format!("stream `{}`: table names with `{OWN_PREFIX}` are Rapidbyte's own", stream.name),
            ));
        }
        let hash_of = |partition: u32| {
            hash(&[
                b"task",
                stream.pipeline.as_bytes(),
                stream.name.as_bytes(),
                &partition.to_be_bytes(),
                schema.as_bytes(),
                name.as_bytes(),
            ])
        };
        let (hash, stream_hash) = (hash_of(stream.partition.index), hash_of(0));
        Ok(Task {
            pipeline: stream.pipeline.clone(),
            stream: stream.name.clone(),
            partition: stream.partition.index,
            partitions: stream.partition.count,
            floor: stream.partition.floor,
            table: QualifiedName::new(schema, name),
            hash,
            stream_hash,
        })
    }

    /// Key of the session's advisory lock.
    pub fn lock_key(&self) -> i64 {
        self.hash.cast_signed()
    }

    /// Key of the lock under which schema objects are looked for and created.
    pub fn schema_lock_key(&self) -> i64 {
        hash(&[b"schema", self.table.schema.as_bytes()]).cast_signed()
    }

    /// Key of the lock under which the partitions of a replace agree.
    pub fn staging_lock_key(&self) -> i64 {
        hash(&[b"staging", &self.stream_hash.to_be_bytes()]).cast_signed()
    }

    /// Where a replace builds the new table. The partitions of one reading share it, and a session that an earlier reading
    /// left behind does not know its name.
    pub fn staging(&self) -> QualifiedName {
        let family = self.staging_family();
        let name = if self.partitions > 1 { format!("{family}_{}", self.floor) } else { family };
        QualifiedName::new(&self.table.schema, name)
    }

    /// How the names of this stream's staging tables begin, those of earlier readings included.
    pub fn staging_family(&self) -> String {
        format!("{OWN_PREFIX}staging_{:016x}", self.stream_hash)
    }

    /// An empty copy of the table, for the blink of an eye, to see what altering makes of it.
    pub fn probe(&self) -> QualifiedName {
        QualifiedName::new(&self.table.schema, format!("{OWN_PREFIX}probe_{:016x}", self.stream_hash))
    }

    /// A name for the `number`th index of the staging table, until it takes the place of the old one.
    pub fn staging_index(&self, number: usize) -> String {
        format!("{OWN_PREFIX}index_{:016x}_{number}", self.stream_hash)
    }

    /// The unique index made for a key that the table has none for.
    pub fn key_index(&self) -> String {
        let of_table = hash(&[b"key", self.table.schema.as_bytes(), self.table.name.as_bytes()]);
        format!("{OWN_PREFIX}key_{of_table:016x}")
    }
}

/// A name for the ordinal column that none of the stream's columns has.
pub fn ordinal_column<'a>(columns: impl Iterator<Item = &'a str> + Clone) -> String {
    let mut name = ORDINAL.to_owned();
    while columns.clone().any(|column| column == name) {
        name.push('_');
    }
    name
}

/// FNV-1a over the parts and their lengths. Stable for ever: locks and staging tables are found again by it.
fn hash(parts: &[&[u8]]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    for part in parts {
        (part.len() as u64).to_be_bytes().into_iter().for_each(&mut add);
        part.iter().copied().for_each(&mut add);
    }
    hash
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::Schema;

    use super::*;

    fn task(stream: &str) -> Result<Task, ConnectorError> {
        Task::new(&StreamContext::new(stream, Arc::new(Schema::empty())), "raw")
    }

    #[test]
    fn streams_name_tables() {
        for (stream, table) in [
            ("orders", "orders"),
            ("sales.orders", "sales__orders"),
            ("Order Items", "Order Items"),
            ("\"a.b\"", "a.b"),
            ("a.b.c", "a.b.c"),
        ] {
            assert_eq!(task(stream).unwrap().table, QualifiedName::new("raw", table), "{stream}");
        }
    }

    #[test]
    fn names_that_would_be_cut_are_refused() {
        assert!(task(&"x".repeat(63)).is_ok());
        assert_eq!(task(&"x".repeat(64)).unwrap_err().code, "invalid_table_name");
        assert_eq!(task(&format!("s.{}", "x".repeat(61))).unwrap_err().code, "invalid_table_name");
        assert_eq!(task("_rapidbyte_receipts").unwrap_err().code, "reserved_table_name");
    }

    #[test]
    fn every_part_of_a_task_makes_its_lock() {
        let of = |pipeline: &str, stream: &str, partition: u32, schema: &str| {
            let mut context = StreamContext::new(stream, Arc::new(Schema::empty()));
            context.pipeline = pipeline.to_owned();
            context.partition = Partition { index: partition, count: 2, ..Partition::WHOLE };
            Task::new(&context, schema).unwrap().lock_key()
        };
        let keys = [
            of("p", "s", 0, "raw"),
            of("q", "s", 0, "raw"),
            of("p", "t", 0, "raw"),
            of("p", "s", 1, "raw"),
            of("p", "s", 0, "other"),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key));
        }
    }

    #[test]
    fn partitions_of_one_reading_share_a_staging_table() {
        let of = |index: u32, count: u32, floor: u64| {
            let mut context = StreamContext::new("s", Arc::new(Schema::empty()));
            context.partition = Partition { index, count, floor, ..Partition::WHOLE };
            Task::new(&context, "raw").unwrap()
        };
        assert_eq!(of(0, 3, 7).staging(), of(2, 3, 7).staging());
        assert_ne!(of(0, 3, 7).staging(), of(0, 3, 8).staging());
        assert_ne!(of(0, 3, 7).staging(), of(0, 1, 7).staging());
        assert!(of(1, 3, u64::MAX).staging().name.starts_with(&of(0, 1, 0).staging().name));
        assert!(of(1, 3, u64::MAX).staging().name.len() <= IDENTIFIER_BYTES_MAX);
    }

    #[test]
    fn the_hash_is_stable() {
        assert_eq!(hash(&[b"a", b"bc"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"a", b"bc"]), hash(&[b"ab", b"c"]));
    }

    #[test]
    fn the_ordinal_column_is_nobody_elses() {
        let columns = ["a", "_rapidbyte_row"];
        assert_eq!(ordinal_column(columns.iter().copied()), "_rapidbyte_row_");
        assert_eq!(ordinal_column(["a"].iter().copied()), "_rapidbyte_row");
    }
}
