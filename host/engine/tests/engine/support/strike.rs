//! What strikes a run: at one of the points it passes, its process dies, a call fails, or the user asks it to end.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rapidbyte_core::ConnectorError;
use rapidbyte_engine::{Cancellation, PlanError, RunReport};
use tokio::sync::watch;

/// What happens, and at which point (the first is 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    Never,
    /// SIGKILL: nothing that has not happened by then happens.
    Kill(u64),
    /// The call fails.
    Fail(u64),
    /// Ctrl-C.
    Cancel(u64),
    /// Ctrl-C twice.
    Abort(u64),
}

/// How a process ended.
pub enum Ends {
    Report(Box<RunReport>),
    Refused(PlanError),
    Killed,
}

pub struct Striker {
    strike: Strike,
    passed: AtomicU64,
    random: Mutex<Random>,
    dead: watch::Sender<bool>,
    cancellation: Cancellation,
}

impl Striker {
    pub fn new(strike: Strike, seed: u64, cancellation: Cancellation) -> Self {
        Striker {
            strike,
            passed: AtomicU64::new(0),
            random: Mutex::new(Random::new(seed)),
            dead: watch::Sender::new(false),
            cancellation,
        }
    }

    pub fn steps(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Returns when the process is killed.
    pub async fn killed(&self) {
        let _ = self.dead.subscribe().wait_for(|dead| *dead).await;
    }

    /// A point where nothing can be awaited: a process that dies here does nothing durable any more.
    pub fn pass(&self, _point: &str) {
        let _ = self.strike_here();
    }

    /// A point before or after an effect. Never returns in a dead process; other tasks get their turn at random.
    pub async fn step(&self, point: &str) -> Result<(), ConnectorError> {
        let fails = self.strike_here();
        if *self.dead.borrow() {
            std::future::pending::<()>().await;
        }
        let turns = self.random.lock().unwrap().below(3);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        if *self.dead.borrow() {
            std::future::pending::<()>().await;
        }
        if fails { Err(ConnectorError::internal("struck", format!("struck at {point}"))) } else { Ok(()) }
    }

    fn strike_here(&self) -> bool {
        let now = self.passed.fetch_add(1, Ordering::Relaxed) + 1;
        match self.strike {
            Strike::Kill(at) if at == now => {
                self.dead.send_replace(true);
            }
            Strike::Cancel(at) if at == now => {
                self.cancellation.request();
            }
            Strike::Abort(at) if at == now => {
                self.cancellation.request();
                self.cancellation.request();
            }
            Strike::Fail(at) => return at == now,
            _ => {}
        }
        false
    }
}

/// SplitMix64: small, seeded, the same everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At least 0, below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
