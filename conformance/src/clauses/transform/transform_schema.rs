//! `transform-schema`: What discovery says would flow out is what flows out, and discovery answers the same twice.

use rapidbyte_host::core::frame::schema_difference;

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "transform-schema",
    role: Some(ConnectorRole::Transform),
    severity: Severity::Critical,
    explanation: "What discovery says would flow out is what flows out, and discovery answers the same \
                  twice.",
    hint: "Compute the schema in one place for both phases.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let announced = subject.transform_schema(&sample::schema()).await?;
    let again = subject.transform_schema(&sample::schema()).await?;
    ensure(announced == again, || "discovery answers differently the second time".to_owned())?;
    let feed = [Feed::Batch(sample::batch(&[1, 2, 3], 0)?), Feed::Complete];
    let (run, _) = subject.transform(&sample::schema(), &feed).await?;
    run.rows()?;
    for frame in run.frames() {
        if let Some(difference) = schema_difference(&announced, &frame.schema()?) {
            return broken(format!("a batch is not what was announced: {difference}"));
        }
    }
    Ok(())
}
