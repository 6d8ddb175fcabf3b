//! What outlives every process: the source's rows and the destination's tables with their receipts.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard};

use arrow_array::{Array, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use rapidbyte_core::frame::encode_schema;
use rapidbyte_core::*;

/// A record: its key, its place in the stream's order, and something that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub id: i64,
    pub seq: i64,
    pub value: i64,
}

#[derive(Debug, Default)]
pub struct World {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
pub struct Inner {
    /// In the order of `seq`.
    pub sources: BTreeMap<String, Vec<Row>>,
    /// How many moments were held open.
    pub moments: AtomicU64,
    /// How often the source failed.
    pub failures: AtomicU64,
    pub tables: BTreeMap<String, Table>,
}

/// One stream at the destination.
#[derive(Debug, Default, Clone)]
pub struct Table {
    /// What readers see.
    pub rows: Vec<Row>,
    /// What `replace` builds aside.
    pub staged: Vec<Row>,
    pub receipt: Option<Receipt>,
    /// Of the partitions behind the first one.
    pub more: BTreeMap<u32, Receipt>,
    /// The reading in partitions that `staged` belongs to.
    pub staged_floor: u64,
    /// How often the stream was committed to its end.
    pub completed: u64,
    /// The newest id ever committed.
    pub newest_id: u64,
    pub newest_ids: BTreeMap<u32, u64>,
    pub commits: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    pub id: u64,
    pub cursor: Option<Cursor>,
    pub complete: bool,
}

impl Table {
    pub fn receipt_of(&self, partition: u32) -> Option<&Receipt> {
        if partition == 0 { self.receipt.as_ref() } else { self.more.get(&partition) }
    }

    fn set_receipt(&mut self, partition: u32, receipt: Option<Receipt>) {
        match (partition, receipt) {
            (0, receipt) => self.receipt = receipt,
            (partition, Some(receipt)) => _ = self.more.insert(partition, receipt),
            (partition, None) => _ = self.more.remove(&partition),
        }
    }
}

impl World {
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub fn set_source(&self, stream: &str, rows: Vec<Row>) {
        self.lock().sources.insert(stream.into(), rows);
    }

    pub fn source(&self, stream: &str) -> Vec<Row> {
        self.lock().sources.get(stream).cloned().unwrap_or_default()
    }

    pub fn table(&self, stream: &str) -> Table {
        self.lock().tables.get(stream).cloned().unwrap_or_default()
    }

    pub fn edit(&self, stream: &str, edit: impl FnOnce(&mut Table)) {
        edit(self.lock().tables.entry(stream.into()).or_default());
    }

    /// One transaction of the destination: the rows and the receipt, or neither.
    pub fn commit(
        &self,
        stream: &str,
        partition: &Partition,
        mode: WriteMode,
        rows: Vec<Row>,
        receipt: Receipt,
        transactional: bool,
    ) {
        let mut inner = self.lock();
        let table = inner.tables.entry(stream.into()).or_default();
        let before = if partition.index == 0 {
            std::mem::replace(&mut table.newest_id, receipt.id)
        } else {
            table.newest_ids.insert(partition.index, receipt.id).unwrap_or(0)
        };
        assert!(receipt.id > before.max(partition.floor), "id {} after {before}, {partition:?}", receipt.id);
        table.commits += 1;
        let complete = receipt.complete;
        table.set_receipt(partition.index, transactional.then_some(receipt));
        // A reading is at its end when all its partitions are.
        let at_end = |index| table.receipt_of(index).is_some_and(|it| it.complete && it.id > partition.floor);
        let complete =
            if partition.is_whole() { complete } else { complete && (0..partition.count).all(at_end) };
        match mode {
            WriteMode::Append => table.rows.extend(rows),
            WriteMode::Replace => {
                table.staged.extend(rows);
                if complete {
                    table.rows = std::mem::take(&mut table.staged);
                }
            }
            WriteMode::Upsert | WriteMode::Merge => {
                for row in rows {
                    match table.rows.iter_mut().find(|known| known.id == row.id) {
                        Some(known) => *known = row,
                        None => table.rows.push(row),
                    }
                }
            }
        }
        if complete {
            table.completed += 1;
        }
    }
}

pub fn rows(count: i64) -> Vec<Row> {
    (1..=count).map(|n| Row { id: n, seq: n, value: n * 10 }).collect()
}

pub fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_unstable();
    rows
}

pub fn schema() -> SchemaRef {
    let field = |name| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![field("id"), field("seq"), field("value")]))
}

pub fn schema_ipc() -> ArrowSchemaIpc {
    encode_schema(&schema()).unwrap()
}

pub fn to_frame(rows: &[Row]) -> Frame {
    let column = |get: fn(&Row) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(get))) as _;
    let columns = vec![column(|row| row.id), column(|row| row.seq), column(|row| row.value)];
    Frame::encode(&RecordBatch::try_new(schema(), columns).unwrap()).unwrap()
}

pub fn from_frame(frame: &Frame) -> Vec<Row> {
    let batch = frame.decode().unwrap();
    let column = |index: usize| batch.column(index).as_any().downcast_ref::<Int64Array>().unwrap().clone();
    let (ids, seqs, values) = (column(0), column(1), column(2));
    (0..batch.num_rows())
        .map(|n| Row { id: ids.value(n), seq: seqs.value(n), value: values.value(n) })
        .collect()
}
