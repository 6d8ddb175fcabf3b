//! `resume-every-checkpoint`: Whichever checkpoint a run died behind: what came before it and what a run from its cursor reads are together the stream, with neither gap nor overlap.

use rapidbyte_host::core::channel::Event;

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "resume-every-checkpoint",
    role: Some(ConnectorRole::Source),
    severity: Severity::Critical,
    explanation: "Whichever checkpoint a run died behind: what came before it and what a run from its \
                  cursor reads are together the stream, with neither gap nor overlap.",
    hint: "Checkpoint only where the cursor tells exactly what was emitted: behind the last of \
                  several records with equal cursors, or with a tie-breaker in it.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    for (stream, field) in subject.incremental_streams().await? {
        let whole = subject.read(&ReadPlan::incremental(&stream, &field, None)).await?.rows()?;
        let mut plan = ReadPlan::incremental(&stream, &field, None);
        plan.limits.checkpoint_interval_rows = (whole.len() as u64 / limits::CHECKPOINTS_AIM).max(1);
        let run = subject.read(&plan).await?;
        if let Some(difference) = difference(&whole, &run.rows()?) {
            return broken(format!("`{}` with more checkpoints: {difference}", stream.name));
        }
        let mut before: Vec<Row> = Vec::new();
        let mut number = 0;
        for event in &run.events {
            match event {
                Event::Frame(frame) => before.extend(rows_of([frame])?),
                Event::Checkpoint(checkpoint) => {
                    number += 1;
                    let Some(cursor) = &checkpoint.cursor else { continue };
                    let behind = ReadPlan::incremental(&stream, &field, Some(cursor.value.clone()));
                    let mut together = before.clone();
                    together.extend(subject.read(&behind).await?.rows()?);
                    if let Some(difference) = difference(&whole, &together) {
                        let at = cursor.value.value_text();
                        return broken(format!(
                            "`{}` resumed at checkpoint {number} (`{at}`): {difference}",
                            stream.name
                        ));
                    }
                }
                Event::DeadLetters(_) | Event::End => {}
            }
        }
        ensure(whole.is_empty() || number > 0, || {
            format!("`{}` has rows and made no checkpoint", stream.name)
        })?;
    }
    Ok(())
}
