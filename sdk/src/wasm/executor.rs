//! The guest's executor: tokio's current-thread runtime, with its one way to sleep replaced by the host's `wait`.
//!
//! Without threads tokio parks by `std::thread::sleep(until the next timer)`, which on wasip2 is libc's `clock_nanosleep`;
//! parking without a timer panics. So:
//!
//! - the SDK defines `clock_nanosleep`. While tokio parks it waits in the host for every interest of the reactor, for at most
//!   the very duration tokio asked for. tokio takes an early return as a wake-up; the tasks of what is ready are woken right
//!   after it, because inside the park tokio holds the lock that a wake-up of the timer takes.
//! - a timer far away always exists, so tokio always parks with a deadline.
//! - a runtime that always has something to do never parks. While somebody waits for the host, a maintenance timer fires
//!   every few milliseconds; if tokio has not parked meanwhile, it looks at the host. An idle runtime backs it off, up to
//!   once a second: it is never switched off, because nothing tells whether a timer that fires along with it keeps the
//!   runtime busy from then on.
//! - what sockets have gathered is sent before every park.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;
use tokio::time::{Instant, Sleep};

use super::bindings::rapidbyte::connector::host_io;
use super::host::Host;
use super::reactor;
use crate::limits;
use crate::types::LogLevel;

thread_local! {
    /// One runtime for the life of the instance: tasks spawned in `open` go on in `run`.
    static RUNTIME: (Runtime, LocalSet) = start();
    /// tokio is between its park hooks: a sleep now is the park itself.
    static PARKING: Cell<bool> = const { Cell::new(false) };
    /// What the host answered to the park, until tokio is out of it.
    static ANSWER: RefCell<Option<Vec<Waker>>> = const { RefCell::new(None) };
    static MAINTENANCE: RefCell<Maintenance> = const { RefCell::new(Maintenance::new()) };
}

/// The timer that is always there: far away while nobody waits for the host.
struct Maintenance {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Until it fires again; none while it is far away.
    period: Option<Duration>,
    /// tokio has parked, and so asked the host, since the timer was set.
    parked: bool,
}

impl Maintenance {
    const fn new() -> Self {
        Maintenance { sleep: None, period: None, parked: false }
    }

    fn set(&mut self, period: Option<Duration>) {
        self.period = period;
        self.parked = false;
        if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().reset(Instant::now() + period.unwrap_or(limits::FAR_AWAY));
        }
    }

    fn is_due(&self) -> bool {
        self.sleep.as_ref().is_some_and(|sleep| sleep.deadline() <= Instant::now())
    }
}

fn start() -> (Runtime, LocalSet) {
    install_panic_hook();
    let runtime = Builder::new_current_thread()
        .enable_time()
        .on_thread_park(|| {
            reactor::send_gathered();
            PARKING.set(true);
        })
        .on_thread_unpark(|| {
            PARKING.set(false);
            if let Some(ready) = ANSWER.take() {
                unpark(ready);
            }
        })
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        // Building it asks nothing of the system without its I/O driver.
        Err(error) => unreachable!("a runtime without I/O starts: {error}"),
    };
    runtime.spawn(maintain());
    (runtime, LocalSet::new())
}

/// Runs author code to its end.
pub(super) fn run<F: Future>(future: F) -> F::Output {
    RUNTIME.with(|(runtime, local)| {
        let output = local.block_on(runtime, future);
        // What the last steps wrote must not wait for the next call.
        reactor::send_gathered();
        output
    })
}

/// Holds the timer, and looks at the host for a runtime that is too busy to park.
fn maintain() -> impl Future<Output = ()> {
    std::future::poll_fn(|cx| {
        while fired(cx) {
            let waiting = reactor::has_interests();
            let idle = MAINTENANCE.with_borrow(|maintenance| maintenance.parked);
            if waiting && !idle {
                reactor::send_gathered();
                reactor::wait(Some(0)).into_iter().for_each(Waker::wake);
            }
            MAINTENANCE.with_borrow_mut(|maintenance| {
                let period = match maintenance.period {
                    Some(period) if idle => (period * 2).min(limits::MAINTENANCE_PERIOD_MAX),
                    _ => limits::MAINTENANCE_PERIOD,
                };
                maintenance.set(waiting.then_some(period));
            });
        }
        Poll::Pending
    })
}

/// Whether the timer is over; otherwise this task is woken when it is.
fn fired(cx: &mut Context<'_>) -> bool {
    MAINTENANCE.with_borrow_mut(|maintenance| {
        // The first call's code runs before this task does, and may wait for the host already.
        let after = maintenance.period.unwrap_or(limits::FAR_AWAY);
        let sleep = maintenance.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        sleep.as_mut().poll(cx).is_ready()
    })
}

/// Somebody waits for the host: a busy runtime must look there before long.
pub(super) fn watch() {
    MAINTENANCE.with_borrow_mut(|maintenance| {
        if maintenance.period.is_none() {
            maintenance.set(Some(limits::MAINTENANCE_PERIOD));
        }
    });
}

/// tokio's park: it must not touch anything of tokio's.
fn park(duration: Duration) {
    let ready = reactor::wait(Some(nanoseconds(duration)));
    ANSWER.set(Some(ready));
}

/// tokio is out of a park in which the host was asked.
fn unpark(ready: Vec<Waker>) {
    let woken = !ready.is_empty();
    ready.into_iter().for_each(Waker::wake);
    MAINTENANCE.with_borrow_mut(|maintenance| {
        maintenance.parked = true;
        let backed_off = maintenance.period.is_none_or(|period| period > limits::MAINTENANCE_PERIOD);
        // What ended the park may be busy from now on while others wait for the host, unless it was the timer itself.
        if backed_off && (woken || !maintenance.is_due()) && reactor::has_interests() {
            maintenance.set(Some(limits::MAINTENANCE_PERIOD));
        }
    });
}

/// Any other sleep: author code that blocks, to the deadline and nothing else.
fn sleep(duration: Duration) {
    let deadline = std::time::Instant::now() + duration;
    loop {
        let rest = deadline.saturating_duration_since(std::time::Instant::now());
        if rest.is_zero() {
            return;
        }
        host_io::wait(&[], Some(nanoseconds(rest)));
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// `struct timespec` of wasi-libc.
#[repr(C)]
pub struct Timespec {
    seconds: i64,
    nanoseconds: i32,
}

unsafe extern "C" {
    fn clock_gettime(clock: *const u8, time: *mut Timespec) -> i32;
}

/// Takes the place of libc's: the only way a thread sleeps on wasip2.
///
/// # Safety
/// As for `clock_nanosleep`: `request` points to a time, `remaining` to room for one or nowhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_nanosleep(
    clock: *const u8,
    flags: i32,
    request: *const Timespec,
    remaining: *mut Timespec,
) -> i32 {
    const EINVAL: i32 = 28;
    const TIMER_ABSTIME: i32 = 1;

    if request.is_null() {
        return EINVAL;
    }
    // SAFETY: not null, and by contract a valid `timespec`.
    let request = unsafe { &*request };
    let (Ok(seconds), Ok(nanoseconds @ 0..1_000_000_000)) =
        (u64::try_from(request.seconds), u32::try_from(request.nanoseconds))
    else {
        return EINVAL;
    };
    let mut duration = Duration::new(seconds, nanoseconds);
    if flags & TIMER_ABSTIME != 0 {
        let mut now = Timespec { seconds: 0, nanoseconds: 0 };
        // SAFETY: the caller's own clock, and room for a time.
        if unsafe { clock_gettime(clock, &mut now) } != 0 {
            return EINVAL;
        }
        duration = duration.saturating_sub(Duration::new(now.seconds as u64, now.nanoseconds as u32));
    }
    if PARKING.get() {
        park(duration)
    } else {
        sleep(duration)
    }
    if !remaining.is_null() {
        // SAFETY: by contract room for a `timespec`.
        unsafe { remaining.write(Timespec { seconds: 0, nanoseconds: 0 }) };
    }
    0
}

/// A panic ends the instance by a trap, which says nothing; so the reason goes to the log first.
fn install_panic_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let message =
                format!("the connector panicked: {}", info.payload_as_str().unwrap_or("no message"));
            let location = info.location().map(ToString::to_string).unwrap_or_default();
            Host.log(LogLevel::Error, &message, &[("location", location.into())]);
        }));
    });
}
