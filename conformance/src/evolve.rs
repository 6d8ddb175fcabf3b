//! A stream whose schema changes between two runs, under each policy of its axis. What is right is the clauses' to say; how
//! to see it is here.

use arrow_array::RecordBatch;
use rapidbyte_host::core::{ErrorCategory, Policies, WriteMode};

use crate::clause::{Check, Finding, mismatch, not_applicable, said};
use crate::drive::{Feed, WritePlan};
use crate::rows::{Row, rows_of_batch};
use crate::subject::Subject;

/// The column that is new, gone or another one.
pub const COLUMN: &str = "extra";

/// A stream before and after its schema changed.
pub struct Change {
    pub old: RecordBatch,
    pub new: RecordBatch,
}

/// What a policy makes of a change.
pub enum Outcome {
    /// The second run is refused by a `schema` error that names the column, and nothing of it is written.
    Refused,
    /// The same, but a `data` error will do: a destination may find out with the first value that is NULL.
    RefusedByValue,
    /// These rows are there after both runs. Or it is refused: adapting may be more than a destination can, but then it
    /// has to say so, by such an error or a `config` error that names the policy.
    Adapted(Vec<Row>),
}

impl Change {
    /// The rows of both runs, with the column in those from before and in those from after set so.
    pub fn rows(&self, before: impl Fn(&mut Row), after: impl Fn(&mut Row)) -> Result<Vec<Row>, Finding> {
        let (mut old, mut new) = (rows_of_batch(&self.old)?, rows_of_batch(&self.new)?);
        old.iter_mut().for_each(before);
        new.iter_mut().for_each(after);
        old.append(&mut new);
        Ok(old)
    }

    /// Writes the stream before, then after the change, and looks. `policy` is its name, for the message.
    pub async fn check(
        &self,
        subject: &Subject<'_>,
        policy: &str,
        policies: Policies,
        outcome: Outcome,
    ) -> Check {
        if !subject.manifest.write_modes.contains(&WriteMode::Append) {
            return not_applicable("the manifest does not declare `append`");
        }
        let first = WritePlan::new(subject, "evolve", self.old.schema(), WriteMode::Append);
        subject.write_all(&first, &[Feed::Batch(self.old.clone()), Feed::Checkpoint]).await?;
        let second = WritePlan { schema: self.new.schema(), policies, ..first.clone() };
        let run = subject.write(&second, &[Feed::Batch(self.new.clone()), Feed::Checkpoint]).await?;
        let refusal = || format!("a `schema` error that names `{COLUMN}`");
        match (run.result, outcome) {
            (Err(error), outcome) => {
                let details = error.details.as_deref().unwrap_or_default();
                let names = |what: &str| error.message.contains(what) || details.contains(what);
                let refused = match error.category {
                    ErrorCategory::Schema => names(COLUMN),
                    ErrorCategory::Data => names(COLUMN) && matches!(outcome, Outcome::RefusedByValue),
                    // It does not know the policy, and says so.
                    ErrorCategory::Config => {
                        let axis = policy.split(':').next().unwrap_or_default();
                        names(axis) && matches!(outcome, Outcome::Adapted(_))
                    }
                    _ => false,
                };
                if !refused {
                    return mismatch(format!("a change with `{policy}`"), refusal(), said(&error));
                }
                let when = format!("after a change that `{policy}` refused");
                subject.must_show(&first, &rows_of_batch(&self.old)?, &when).await
            }
            (Ok(_), Outcome::Refused | Outcome::RefusedByValue) => {
                mismatch(format!("a change with `{policy}`"), refusal(), "success")
            }
            (Ok(_), Outcome::Adapted(expected)) => {
                // Whichever schema has the column says of what type it is.
                let shown = if self.old.schema().index_of(COLUMN).is_ok() { &first } else { &second };
                subject.must_show(shown, &expected, &format!("after a change with `{policy}`")).await
            }
        }
    }
}
