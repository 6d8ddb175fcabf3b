//! How a run is asked to end: first cleanly at the next checkpoint, then at once.
//! Refuses to know: who asks (Ctrl-C, SIGTERM, a caller).

use std::sync::Arc;

use tokio::sync::watch;

/// How urgently a run is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum CancelLevel {
    #[default]
    None,
    /// End at the next checkpoint.
    Stop,
    /// End at once. Safe all the same: what was not committed is read again.
    Abort,
}

/// Asks a run to end. Clones ask the same run.
#[derive(Debug, Clone)]
pub struct Cancellation {
    level: Arc<watch::Sender<CancelLevel>>,
}

impl Default for Cancellation {
    fn default() -> Self {
        Cancellation { level: Arc::new(watch::Sender::new(CancelLevel::None)) }
    }
}

impl Cancellation {
    pub fn new() -> Self {
        Self::default()
    }

    /// The first request stops cleanly, any further one at once. Answers the level now in force.
    pub fn request(&self) -> CancelLevel {
        self.level.send_modify(|level| {
            *level = if *level == CancelLevel::None { CancelLevel::Stop } else { CancelLevel::Abort };
        });
        self.level()
    }

    pub fn level(&self) -> CancelLevel {
        *self.level.borrow()
    }

    pub fn is_requested(&self) -> bool {
        self.level() >= CancelLevel::Stop
    }

    /// Returns once at least `level` is asked.
    pub async fn wait(&self, level: CancelLevel) {
        let mut watched = self.level.subscribe();
        // The sender is held by `self`, so this cannot fail.
        let _ = watched.wait_for(|now| *now >= level).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn goes_up_and_wakes() {
        let cancellation = Cancellation::new();
        let waiting = tokio::spawn({
            let cancellation = cancellation.clone();
            async move { cancellation.wait(CancelLevel::Abort).await }
        });
        assert!(!cancellation.is_requested());
        assert_eq!(cancellation.request(), CancelLevel::Stop);
        cancellation.wait(CancelLevel::Stop).await;
        assert!(!waiting.is_finished());
        assert_eq!(cancellation.request(), CancelLevel::Abort);
        waiting.await.unwrap();
        assert_eq!(cancellation.request(), CancelLevel::Abort);
    }
}
