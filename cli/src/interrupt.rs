//! Ctrl-C and SIGTERM: the first asks the run to end at its next checkpoint, the second ends the process at once. Either
//! way what is committed stays committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::exit::Exit;
use crate::printer::{Printer, Tone};

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
#[cfg(unix)]
pub fn listen(printer: &Printer, stop: impl FnOnce() + Send + 'static) -> std::io::Result<Interrupted> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (printer, interrupted) = (printer.clone(), Interrupted::default());
    let first = interrupted.clone();
    tokio::spawn(async move {
        let mut stop = Some(stop);
        loop {
            let exit = tokio::select! {
                _ = interrupt.recv() => Exit::Interrupted,
                _ = terminate.recv() => Exit::Terminated,
            };
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

#[cfg(not(unix))]
pub fn listen(printer: &Printer, stop: impl FnOnce() + Send + 'static) -> std::io::Result<Interrupted> {
    let (printer, interrupted) = (printer.clone(), Interrupted::default());
    let first = interrupted.clone();
    tokio::spawn(async move {
        let mut stop = Some(stop);
        while tokio::signal::ctrl_c().await.is_ok() {
            match stop.take() {
                Some(stop) => {
                    first.0.store(Exit::Interrupted.code(), Ordering::Release);
                    printer.status(
                        Tone::Warning,
                        "Stopping",
                        "at the next checkpoint (again to stop at once)",
                    );
                    stop();
                }
                None => end_at_once(&printer, Exit::Interrupted),
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
