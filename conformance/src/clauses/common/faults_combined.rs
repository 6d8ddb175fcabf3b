//! `faults-combined`: several calls of the host go wrong in one run, chosen by the seed.

use std::sync::Arc;

use rapidbyte_host::wasm::faults::FaultPlan;

use crate::clause::prelude::*;
use crate::faulty::Work;

pub const CLAUSE: Clause = Clause {
    name: "faults-combined",
    role: None,
    severity: Severity::Critical,
    explanation: "Several calls of the host go wrong in one run, chosen by the seed: the error is one that these faults \
                  can have, and a run that goes on ends with exactly the right rows.",
    hint: "`--seed` with the report's number strikes the same calls again; `--clause faults-combined` only these.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    for work in Work::of(subject).await? {
        let mut struck = false;
        for number in 0..limits::FAULT_COMBINATIONS {
            // Far apart, so that neighbouring seeds have no plan in common.
            let seed = subject.seed.wrapping_mul(1 << 32).wrapping_add(number);
            let plan = FaultPlan::seeded(seed, &work.calls, limits::FAULTS_TOGETHER);
            struck |= work.strike(subject, Arc::new(plan)).await?;
        }
        ensure(struck, || "no fault struck: it calls something else in every run".to_owned())?;
    }
    Ok(())
}
