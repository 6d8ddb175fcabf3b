//! `read-unknown-stream`: A stream that is not there is a typed error of the user (`config` or `schema`), never an empty stream.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "read-unknown-stream",
    role: Some(ConnectorRole::Source),
    severity: Severity::Error,
    explanation: "A stream that is not there is a typed error of the user (`config` or `schema`), never an \
                  empty stream.",
    hint: "Look the stream up before reading, and name it in the error.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let streams = subject.streams().await?;
    let Some(stream) = streams.first() else { return not_applicable("there is no stream") };
    let plan = ReadPlan { name: "rapidbyte_no_such_stream".to_owned(), ..ReadPlan::full(stream) };
    match subject.read(&plan).await?.result {
        Ok(_) => broken("a stream that is not there is read with success"),
        Err(error) => {
            let typed = matches!(error.category, ErrorCategory::Config | ErrorCategory::Schema);
            ensure(typed, || format!("the error is `{}`: {}", error.kind(), error.message))
        }
    }
}
