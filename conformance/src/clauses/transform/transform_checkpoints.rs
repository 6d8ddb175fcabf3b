//! `transform-checkpoints`: Every checkpoint comes out once, in order, behind all rows that went in before it.

use rapidbyte_host::core::channel::Event;

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "transform-checkpoints",
    role: Some(ConnectorRole::Transform),
    severity: Severity::Critical,
    explanation: "Every checkpoint comes out once, in order, behind all rows that went in before it.",
    hint: "Emit everything that is held back before forwarding a checkpoint.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let mut feed = Vec::new();
    for id in 1..=3 {
        feed.extend([Feed::Batch(sample::batch(&[id, id + 10], 0)?), Feed::Checkpoint]);
    }
    let (run, handed) = subject.transform(&sample::schema(), &feed).await?;
    run.rows()?;
    let out: Vec<u64> = run.checkpoints().map(|checkpoint| checkpoint.id).collect();
    ensure(out == handed, || format!("checkpoints {handed:?} went in, {out:?} came out"))?;
    let mut number = 0;
    let mut since = 0;
    for event in &run.events {
        match event {
            Event::Frame(frame) => since += frame.records(),
            Event::Checkpoint(_) => {
                number += 1;
                let alone = [Feed::Batch(sample::batch(&[number, number + 10], 0)?), Feed::Complete];
                let expected = subject.transform(&sample::schema(), &alone).await?.0.records();
                ensure(since == expected, || {
                    format!("{since} rows come before checkpoint {number} that belong to it, not {expected}")
                })?;
                since = 0;
            }
            Event::DeadLetters(_) | Event::End => {}
        }
    }
    ensure(since == 0, || "rows come behind their checkpoint".to_owned())
}
