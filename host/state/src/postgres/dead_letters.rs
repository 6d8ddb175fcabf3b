//! Dead letters in PostgreSQL: pending rows, their settlement, what is settled.

use async_trait::async_trait;
use rapidbyte_core::dead_letter::{DeadLetterFilter, DeadLetterGroup, DeadLetters, StoredDeadLetters};
use rapidbyte_core::limits::CHECKPOINT_ID_MAX;
use rapidbyte_core::ports::TaskKey;

use super::claims;
use super::rows::{Columns, integer, without_nul};
use super::session::{Fault, Session};
use super::transaction::Operation;
use crate::errors_json;

pub struct AddDeadLetters {
    pub run_id: i64,
    pub key: TaskKey,
    pub letters: DeadLetters,
}

#[async_trait]
impl Operation for AddDeadLetters {
    type Answer = ();

    async fn run(&self, session: &Session) -> Result<(), Fault> {
        if self.letters.after > CHECKPOINT_ID_MAX {
            return Err(session.refuse(format!("checkpoint id {} is out of range", self.letters.after)));
        }
        claims::holds(session, self.run_id).await?;
        insert(session, None, self.run_id, &self.key, &self.letters).await
    }
}

/// Adds a batch of dead letters, settled ones under their number.
pub async fn insert(
    session: &Session,
    settled_id: Option<i64>,
    run_id: i64,
    key: &TaskKey,
    letters: &DeadLetters,
) -> Result<(), Fault> {
    let row = session
        .one(
            "INSERT INTO dead_letters (settled_id, pipeline, stream, partition_index, run_id, origin, connector, after_id,
                                       occurred_at, errors, frame)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id",
            &[
                &settled_id,
                &key.pipeline,
                &key.stream,
                &i64::from(key.partition),
                &run_id,
                &letters.origin,
                &letters.connector,
                &integer(letters.after),
                &letters.occurred_at,
                &errors_json::to_text(&letters.errors),
                &letters.frame.as_ref(),
            ],
        )
        .await?;
    let id: i64 = row.get(0);
    let counts = errors_json::records_by_code(&letters.errors);
    let codes: Vec<String> = counts.keys().map(|code| without_nul(code)).collect();
    let records: Vec<i64> = counts.values().map(|count| integer(*count)).collect();
    session
        .execute(
            "INSERT INTO dead_letter_codes (dead_letters_id, code, records)
             SELECT $1, code, sum(records) FROM unnest($2::text[], $3::bigint[]) AS counts (code, records) GROUP BY code",
            &[&id, &codes, &records],
        )
        .await?;
    Ok(())
}

/// Gives what is pending before a checkpoint the next numbers, in the order in which it was added. The numbers are given
/// out one transaction after the other, so that a greater one is never seen before a smaller one.
pub async fn settle(session: &Session, key: &TaskKey, checkpoint_id: u64) -> Result<(), Fault> {
    let (partition, id) = (i64::from(key.partition), integer(checkpoint_id));
    let count: i64 = session
        .one(
            "SELECT count(*) FROM dead_letters
             WHERE settled_id IS NULL AND pipeline = $1 AND stream = $2 AND partition_index = $3 AND after_id < $4",
            &[&key.pipeline, &key.stream, &partition, &id],
        )
        .await?
        .get(0);
    if count == 0 {
        return Ok(());
    }
    let last: i64 = session
        .one("UPDATE sequences SET value = value + $1 WHERE name = 'settled' RETURNING value", &[&count])
        .await?
        .get(0);
    session
        .execute(
            "UPDATE dead_letters SET settled_id = $5 + pending.place
             FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM dead_letters
                   WHERE settled_id IS NULL AND pipeline = $1 AND stream = $2 AND partition_index = $3
                     AND after_id < $4) AS pending
             WHERE dead_letters.id = pending.id",
            &[&key.pipeline, &key.stream, &partition, &id, &(last - count)],
        )
        .await?;
    Ok(())
}

pub struct ResolveDeadLetters {
    pub key: TaskKey,
    pub committed: Option<u64>,
}

#[async_trait]
impl Operation for ResolveDeadLetters {
    type Answer = ();

    async fn run(&self, session: &Session) -> Result<(), Fault> {
        let key = &self.key;
        claims::holds_stream(session, &key.pipeline, &key.stream).await?;
        if let Some(committed) = self.committed {
            settle(session, key, committed).await?;
        }
        session
            .execute(
                "DELETE FROM dead_letters
                 WHERE settled_id IS NULL AND pipeline = $1 AND stream = $2 AND partition_index = $3",
                &[&key.pipeline, &key.stream, &i64::from(key.partition)],
            )
            .await?;
        Ok(())
    }
}

pub async fn drop_pending(session: &Session, pipeline: &str, stream: Option<&str>) -> Result<(), Fault> {
    session
        .execute(
            "DELETE FROM dead_letters
             WHERE settled_id IS NULL AND pipeline = $1 AND ($2::text IS NULL OR stream = $2)",
            &[&pipeline, &stream],
        )
        .await?;
    Ok(())
}

pub struct Settled {
    pub filter: DeadLetterFilter,
    pub behind: i64,
    pub limit: u32,
}

#[async_trait]
impl Operation for Settled {
    type Answer = Vec<StoredDeadLetters>;

    async fn run(&self, session: &Session) -> Result<Vec<StoredDeadLetters>, Fault> {
        let rows = session
            .rows(
                "SELECT settled_id, pipeline, stream, partition_index, run_id, origin, connector, after_id, occurred_at,
                        errors, frame
                 FROM dead_letters
                 WHERE settled_id > $3 AND pipeline = $1 AND ($2::text IS NULL OR stream = $2)
                 ORDER BY settled_id LIMIT $4",
                &[&self.filter.pipeline, &self.filter.stream, &self.behind, &i64::from(self.limit)],
            )
            .await?;
        rows.iter().map(|row| stored(&mut Columns::of(session, row)).map(|(_, stored)| stored)).collect()
    }
}

/// Reads the columns number, pipeline, stream, partition, run, origin, connector, after, occurred at, errors, frame. The
/// number is none while they are pending.
pub fn stored(columns: &mut Columns<'_>) -> Result<(Option<i64>, StoredDeadLetters), Fault> {
    let settled_id: Option<i64> = columns.take()?;
    let (key, run_id) = (columns.key()?, columns.take()?);
    let (origin, connector, after, occurred_at) =
        (columns.take()?, columns.take()?, columns.unsigned()?, columns.take()?);
    let errors: String = columns.take()?;
    let errors = errors_json::from_text(&errors)
        .ok_or_else(|| columns.nonsense("the errors of a dead letter".to_owned()))?;
    let frame: Vec<u8> = columns.take()?;
    let letters = DeadLetters { origin, connector, after, frame: frame.into(), errors, occurred_at };
    Ok((settled_id, StoredDeadLetters { id: settled_id.unwrap_or_default(), key, run_id, letters }))
}

pub struct Groups {
    pub pipeline: Option<String>,
}

#[async_trait]
impl Operation for Groups {
    type Answer = Vec<DeadLetterGroup>;

    async fn run(&self, session: &Session) -> Result<Vec<DeadLetterGroup>, Fault> {
        let rows = session
            .rows(
                "SELECT pipeline, stream, origin, code, sum(records)::bigint, min(occurred_at), max(occurred_at)
                 FROM dead_letters JOIN dead_letter_codes ON dead_letters_id = id
                 WHERE settled_id IS NOT NULL AND ($1::text IS NULL OR pipeline = $1)
                 GROUP BY pipeline, stream, origin, code ORDER BY pipeline, stream, origin, code",
                &[&self.pipeline],
            )
            .await?;
        let group = |row| {
            let mut columns = Columns::of(session, row);
            Ok(DeadLetterGroup {
                pipeline: columns.take()?,
                stream: columns.take()?,
                origin: columns.take()?,
                code: columns.take()?,
                records: columns.unsigned()?,
                first_at: columns.take()?,
                last_at: columns.take()?,
            })
        };
        rows.iter().map(group).collect()
    }
}

pub struct Forget {
    pub ids: Vec<i64>,
}

#[async_trait]
impl Operation for Forget {
    type Answer = ();

    async fn run(&self, session: &Session) -> Result<(), Fault> {
        session.execute("DELETE FROM dead_letters WHERE settled_id = ANY($1)", &[&self.ids]).await?;
        Ok(())
    }
}
