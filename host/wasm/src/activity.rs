//! The idle clock of one instance: how long a guest has neither moved data nor called for anything but the time. Waiting
//! for the neighbours in the pipeline does not count against it, waiting for the network does. How long it waited for the
//! network in all is counted, too, for the run's profile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rapidbyte_core::waiting::{Wait, Waiting};

/// Shared by the store, which moves it on, and the watcher of a call.
#[derive(Debug)]
pub struct Activity {
    start: Instant,
    last_ms: AtomicU64,
    /// Waits for the neighbours going on now.
    excused: AtomicU32,
    /// Whether the guest has waited for the network since something happened.
    waited: AtomicBool,
    /// Its waits for what is outside of the pipeline.
    remote: Arc<Waiting>,
}

impl Activity {
    pub fn new() -> Arc<Self> {
        Arc::new(Activity {
            start: Instant::now(),
            last_ms: AtomicU64::new(0),
            excused: AtomicU32::new(0),
            waited: AtomicBool::new(false),
            remote: Arc::default(),
        })
    }

    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Something happened.
    pub fn touch(&self) {
        self.last_ms.store(self.now_ms(), Ordering::Relaxed);
        self.waited.store(false, Ordering::Relaxed);
    }

    /// Stops the clock until the guard goes.
    pub fn excuse(self: &Arc<Self>) -> Excused {
        self.excused.fetch_add(1, Ordering::Relaxed);
        Excused(self.clone())
    }

    /// Says that the guest begins to wait for the network.
    pub fn wait(&self) {
        self.waited.store(true, Ordering::Relaxed);
    }

    /// Counts a wait for the network until the guard goes.
    pub fn remote(&self) -> Wait<'_> {
        self.remote.begin()
    }

    /// All waits for the network.
    pub fn remote_waits(&self) -> Arc<Waiting> {
        self.remote.clone()
    }

    /// How long nothing has happened.
    fn idle(&self) -> Duration {
        if self.excused.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        Duration::from_millis(self.now_ms().saturating_sub(self.last_ms.load(Ordering::Relaxed)))
    }

    /// Returns when nothing has happened for so long; answers whether the guest has waited for the network
    /// meanwhile.
    pub async fn idle_for(&self, timeout: Duration) -> bool {
        loop {
            let idle = self.idle();
            if idle >= timeout {
                return self.waited.load(Ordering::Relaxed);
            }
            tokio::time::sleep(timeout - idle).await;
        }
    }
}

pub struct Excused(Arc<Activity>);

impl Drop for Excused {
    fn drop(&mut self) {
        self.0.touch();
        self.0.excused.fetch_sub(1, Ordering::Relaxed);
    }
}
