//! Ctrl-C and SIGTERM. For a run the first asks it to end at its next checkpoint, the second ends the process at once. Either
//! way what is committed stays committed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::exit::Exit;
use crate::printer::{Printer, Tone};

/// The signals that ask a process to end, from when it listens. Must be made inside the runtime.
pub struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next one, as the exit that it stands for.
    #[cfg(unix)]
    pub async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
    }

    #[cfg(not(unix))]
    pub fn listen() -> io::Result<Self> {
        Ok(Signals {})
    }

    /// The next one, as the exit that it stands for.
    #[cfg(not(unix))]
    pub async fn next(&mut self) -> Exit {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Exit::Interrupted,
            // There is none to be had.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Which signal came first, if any.
#[derive(Clone, Default)]
pub struct Interrupted(Arc<AtomicU8>);

impl Interrupted {
    /// How a run ends that was stopped by it.
    pub fn exit(&self) -> Option<Exit> {
        [Exit::Interrupted, Exit::Terminated]
            .into_iter()
            .find(|exit| exit.code() == self.0.load(Ordering::Acquire))
    }
}

/// Listens from now on; `stop` is called at the first signal. Must be called inside the runtime.
pub fn listen(printer: &Printer, stop: impl FnOnce() + Send + 'static) -> io::Result<Interrupted> {
    let mut signals = Signals::listen()?;
    let (printer, interrupted) = (printer.clone(), Interrupted::default());
    let first = interrupted.clone();
    tokio::spawn(async move {
        let mut stop = Some(stop);
        loop {
            let exit = signals.next().await;
            match stop.take() {
                Some(stop) => {
                    first.0.store(exit.code(), Ordering::Release);
                    printer.status(
                        Tone::Warning,
                        "Stopping",
                        "at the next checkpoint (again to stop at once)",
                    );
                    stop();
                }
                None => end_at_once(&printer, exit),
            }
        }
    });
    Ok(interrupted)
}

/// The commit protocol makes this the same as any other death: there is nothing to clean up but the screen.
fn end_at_once(printer: &Printer, exit: Exit) -> ! {
    printer.status(Tone::Warning, "Stopped", "at once; the next run continues at the last checkpoint");
    std::process::exit(i32::from(exit.code()));
}
