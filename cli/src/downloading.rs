//! What is shown while packages are downloaded: a bar for each on a terminal, a line for each elsewhere.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use rapidbyte_host::PackageOptions;
use rapidbyte_host::install::Progress;

use crate::args::PackageArgs;
use crate::printer::{Printer, Tone};
use crate::quantity::Bytes;

/// Shows downloads.
pub struct Downloads {
    printer: Printer,
    /// Whether bars are drawn.
    bars: bool,
    running: Mutex<HashMap<String, Option<ProgressBar>>>,
    warned: Mutex<BTreeSet<String>>,
}

impl Downloads {
    pub fn new(printer: &Printer, watched: bool) -> Arc<Self> {
        Arc::new(Downloads {
            printer: printer.clone(),
            bars: watched && !printer.quiet(),
            running: Mutex::default(),
            warned: Mutex::default(),
        })
    }

    /// What a command's flags say of the packages of a pipeline.
    pub fn options(args: PackageArgs, printer: &Printer, watched: bool) -> PackageOptions {
        PackageOptions {
            locked: args.locked,
            offline: args.offline,
            progress: Downloads::new(printer, watched),
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Option<ProgressBar>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Downloads {
    fn began(&self, id: &str, bytes: u64) {
        self.printer.status(Tone::Busy, "Fetching", format_args!("{id} ({})", Bytes(bytes)));
        let bar = self.bars.then(|| {
            let bar = self.printer.bars().add(ProgressBar::new(bytes));
            let template =
                "{msg:>28} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_message(id.to_owned());
            bar
        });
        self.running().insert(id.to_owned(), bar);
    }

    fn received(&self, id: &str, bytes: u64) {
        if let Some(Some(bar)) = self.running().get(id) {
            bar.inc(bytes);
        }
    }

    fn finished(&self, id: &str) {
        if let Some(Some(bar)) = self.running().remove(id) {
            bar.finish_and_clear();
        }
    }

    fn warned(&self, _: &str, why: &str) {
        // A pipeline may name a package twice.
        if self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(why.to_owned()) {
            self.printer.warning(why);
        }
    }
}
