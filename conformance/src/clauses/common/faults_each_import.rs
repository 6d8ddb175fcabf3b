//! `faults-each-import`: whichever call of the host goes wrong, the error says so, and going on comes to the right rows.

use std::sync::Arc;

use rapidbyte_host::wasm::faults::FaultPlan;

use crate::clause::prelude::*;
use crate::faulty::{Work, each};

pub const CLAUSE: Clause = Clause {
    name: "faults-each-import",
    role: None,
    severity: Severity::Critical,
    explanation: "Whichever call of the host is refused, reset, slow, cut short, fails, or is the last before a trap or a \
                  kill: the error has the fault's category, whether to retry and what was committed, and a run that goes \
                  on ends with exactly the right rows.",
    hint: "Hand the host's errors on as they are; never unwrap, swallow or rename them. Look at the call that is named: \
           `tcp-read#3=reset` is the third `tcp-read` of the run.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    for work in Work::of(subject).await? {
        let mut struck = false;
        for fault in each(&work.calls) {
            struck |= work.strike(subject, Arc::new(FaultPlan::of([fault]))).await?;
        }
        ensure(struck, || "no fault struck: it calls something else in every run".to_owned())?;
    }
    Ok(())
}
