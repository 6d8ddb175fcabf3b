//! The real SQLite state with a point before and behind every write; its work is done on the spot, so that a seed always
//! gives the same order.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use async_trait::async_trait;
use rapidbyte_core::dead_letter::{DeadLetterFilter, DeadLetterGroup, DeadLetters, StoredDeadLetters};
use rapidbyte_core::ports::*;
use rapidbyte_state::SqliteStore;

use super::strike::Striker;

pub struct StruckStore {
    inner: SqliteStore,
    striker: Arc<Striker>,
}

impl StruckStore {
    pub fn new(inner: SqliteStore, striker: Arc<Striker>) -> Self {
        StruckStore { inner, striker }
    }

    async fn step(&self, point: &str) -> Result<(), StateError> {
        let step = self.striker.step(point).await;
        step.map_err(|error| StateError::Unavailable { location: "struck".into(), message: error.message })
    }
}

#[async_trait]
impl StateStore for StruckStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn begin_run(&self, pipeline: &str, stream: &str) -> Result<i64, StateError> {
        self.step("state.begin").await?;
        let run = block_on(self.inner.begin_run(pipeline, stream));
        // Only a dying process loses this answer: a failure behind the claim would leave it to nobody.
        let _ = self.step("state.begun").await;
        run
    }

    async fn finish_run(
        &self,
        run_id: i64,
        status: RunStatus,
        counters: RunCounters,
        error: Option<&str>,
    ) -> Result<(), StateError> {
        self.step("state.finish").await?;
        block_on(self.inner.finish_run(run_id, status, counters, error))?;
        self.step("state.finished").await
    }

    async fn last_checkpoint(&self, key: &TaskKey) -> Result<Option<SavedCheckpoint>, StateError> {
        self.step("state.last").await?;
        block_on(self.inner.last_checkpoint(key))
    }

    async fn save_checkpoint(
        &self,
        run_id: i64,
        key: &TaskKey,
        checkpoint: &SavedCheckpoint,
        counters: RunCounters,
    ) -> Result<(), StateError> {
        self.step("state.save").await?;
        block_on(self.inner.save_checkpoint(run_id, key, checkpoint, counters))?;
        self.step("state.saved").await
    }

    async fn add_dead_letters(
        &self,
        run_id: i64,
        key: &TaskKey,
        letters: &DeadLetters,
    ) -> Result<(), StateError> {
        self.step("state.dead-letters").await?;
        block_on(self.inner.add_dead_letters(run_id, key, letters))?;
        self.step("state.dead-letters.done").await
    }

    async fn resolve_dead_letters(&self, key: &TaskKey, committed: Option<u64>) -> Result<(), StateError> {
        self.step("state.resolve").await?;
        block_on(self.inner.resolve_dead_letters(key, committed))?;
        self.step("state.resolved").await
    }

    async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        behind: i64,
        limit: u32,
    ) -> Result<Vec<StoredDeadLetters>, StateError> {
        block_on(self.inner.dead_letters(filter, behind, limit))
    }

    async fn dead_letter_groups(&self, pipeline: Option<&str>) -> Result<Vec<DeadLetterGroup>, StateError> {
        block_on(self.inner.dead_letter_groups(pipeline))
    }

    async fn forget_dead_letters(&self, ids: &[i64]) -> Result<(), StateError> {
        block_on(self.inner.forget_dead_letters(ids))
    }

    async fn positions(&self, pipeline: Option<&str>) -> Result<Vec<SavedPosition>, StateError> {
        block_on(self.inner.positions(pipeline))
    }

    async fn history(&self, filter: &RunFilter, limit: u32) -> Result<Vec<RunRecord>, StateError> {
        block_on(self.inner.history(filter, limit))
    }

    async fn reset(&self, pipeline: &str, stream: Option<&str>) -> Result<Vec<TaskKey>, StateError> {
        block_on(self.inner.reset(pipeline, stream))
    }

    async fn get(&self, scope: &str, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.step("state.get").await?;
        block_on(self.inner.get(scope, key))
    }

    async fn put(&self, scope: &str, key: &str, value: &[u8]) -> Result<(), StateError> {
        self.step("state.put").await?;
        block_on(self.inner.put(scope, key, value))?;
        self.step("state.put.done").await
    }

    async fn compare_and_swap(
        &self,
        scope: &str,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<bool, StateError> {
        block_on(self.inner.compare_and_swap(scope, key, expected, value))
    }
}

/// Waits for a future where the thread stands, without giving other tasks a turn.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}
