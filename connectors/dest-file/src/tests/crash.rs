//! The process dies before every single change of the disk, and in seeded series of deaths; then it runs again. The folder
//! must hold each row once, and a replaced file its old or its new content at any time.

use std::cell::Cell;

use super::*;
use crate::disk::{die_after, live};

const ROWS: i64 = 10;

/// What outlives a process: the folder, and the host's state. The source's rows are 0 to `ROWS`.
struct World {
    folder: tempfile::TempDir,
    format: &'static str,
    /// The newest checkpoint the host has saved.
    saved: Cell<u64>,
}

impl World {
    fn new(format: &'static str) -> Self {
        World { folder: tempfile::tempdir().unwrap(), format, saved: Cell::new(0) }
    }

    /// The receipt as the next process will find it: id and cursor.
    fn receipt(&self) -> (u64, Option<i64>) {
        let Ok(text) = fs::read_to_string(self.folder.path().join("_rapidbyte/receipts/test/orders-0.json"))
        else {
            return (0, None);
        };
        let receipt: Value = serde_json::from_str(&text).unwrap();
        let cursor = receipt["cursor"]["value"].as_str().map(|value| value.parse().unwrap());
        (receipt["id"].as_u64().unwrap(), cursor)
    }

    /// One process that dies after `steps` changes, if it gets that far. Answers whether it ended by itself.
    fn process(&self, mode: WriteMode, rows: std::ops::Range<i64>, steps: Option<u32>) -> bool {
        let host = TestHost::new();
        let (id, cursor) = self.receipt();
        assert!(id >= self.saved.get(), "what the host has saved is never newer than the receipt");
        host.set_last_checkpoint_id(id);
        let start =
            if mode == WriteMode::Append { cursor.map_or(rows.start, |last| last + 1) } else { rows.start };
        for (index, n) in (start..rows.end).enumerate() {
            host.feed_batch(&numbers([n]));
            if index % 3 == 2 {
                host.feed_checkpoint(Some(Cursor::new("n", CursorValue::Int64(n))));
            }
        }
        // The last marker carries the last cursor known, also where nothing was new.
        host.feed_checkpoint(Some(Cursor::new("n", CursorValue::Int64(rows.end - 1))));
        host.feed_end();
        let orders = stream("orders", numbers_schema(), mode);
        let config = config(self.folder.path(), json!({ "format": self.format }));
        if let Some(steps) = steps {
            die_after(steps);
        }
        let ended = run(&host, config, RunRequest::write(orders));
        let died = live();
        assert!(ended.is_ok() || died, "{ended:?}");
        if let Some(last) = host.committed_checkpoints().last() {
            self.saved.set(last.id);
            assert!(self.receipt().0 >= last.id, "the host is told of nothing that is not in the receipt");
        }
        ended.is_ok()
    }

    fn content(&self) -> Vec<i64> {
        published(self.folder.path())
    }
}

fn sorted(mut numbers: Vec<i64>) -> Vec<i64> {
    numbers.sort_unstable();
    numbers
}

#[test]
fn append_holds_each_row_once_wherever_the_process_dies() {
    let mut steps = 0;
    loop {
        let world = World::new("jsonl");
        let ended = world.process(WriteMode::Append, 0..ROWS, Some(steps));
        let part = sorted(world.content());
        assert!(part.iter().copied().eq(0..part.len() as i64), "after {steps} steps: {part:?}");
        assert!(world.process(WriteMode::Append, 0..ROWS, None));
        assert_eq!(world.content(), (0..ROWS).collect::<Vec<_>>(), "died after {steps} steps");
        if ended {
            break;
        }
        steps += 1;
    }
    assert!(steps > 40, "{steps} steps were died at");
}

#[test]
fn replace_shows_the_old_or_the_new_file_wherever_the_process_dies() {
    let mut steps = 0;
    loop {
        let world = World::new("jsonl");
        assert!(world.process(WriteMode::Replace, 100..103, None));
        let ended = world.process(WriteMode::Replace, 0..ROWS, Some(steps));
        let content = world.content();
        let (old, new) = ((100..103).collect::<Vec<_>>(), (0..ROWS).collect::<Vec<_>>());
        assert!(content == old || content == new, "after {steps} steps: {content:?}");
        assert!(world.process(WriteMode::Replace, 0..ROWS, None));
        assert_eq!(world.content(), new, "died after {steps} steps");
        if ended {
            break;
        }
        steps += 1;
    }
    assert!(steps > 8, "{steps} steps were died at");
}

#[test]
fn a_committed_file_gets_its_name_before_anything_else_happens() {
    // The process dies between the receipt and the name: the folder lacks rows that the receipt says are there.
    let mut steps = 0;
    let world = loop {
        let world = World::new("jsonl");
        assert!(!world.process(WriteMode::Append, 0..3, Some(steps)));
        if world.receipt().0 > 0 {
            break world;
        }
        steps += 1;
    };
    assert_eq!(world.content(), [0_i64; 0]);
    let host = TestHost::new();
    host.set_last_checkpoint_id(world.receipt().0);
    host.feed_failure();
    let orders = stream("orders", numbers_schema(), WriteMode::Append);
    run(&host, config(world.folder.path(), json!({})), RunRequest::write(orders)).unwrap_err();
    assert_eq!(host.receipts().len(), 1);
    assert_eq!(world.content(), [0, 1, 2]);
}

#[test]
fn series_of_deaths_lose_and_repeat_nothing() {
    for seed in 1..=40_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let format = if seed % 2 == 0 { "jsonl" } else { "parquet" };
        let world = World::new(format);
        let mut deaths = 0;
        while !world.process(WriteMode::Append, 0..ROWS, Some(u32::try_from(next(30)).unwrap())) {
            deaths += 1;
            assert!(deaths < 1_000, "seed {seed}: it does not get on");
        }
        assert!(world.process(WriteMode::Append, 0..ROWS, None), "a last run finds nothing to do");
        let content = if format == "jsonl" {
            world.content()
        } else {
            formats::parquet_numbers(world.folder.path(), "orders")
        };
        assert_eq!(sorted(content), (0..ROWS).collect::<Vec<_>>(), "seed {seed}, {deaths} deaths");
    }
}
