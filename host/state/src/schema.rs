//! The tables of the state and how they came to be: one migration a version, applied in order, never changed.

use rusqlite::{Connection, TransactionBehavior};

/// Marks the file as ours (`RBST`), so that a pipeline never writes into somebody else's database.
const APPLICATION_ID: i32 = 0x5242_5354;

/// The migrations; the version of a database is how many of them it has.
const MIGRATIONS: &[&str] = &[
    // 1
    "
    CREATE TABLE sync_runs (
        id              INTEGER PRIMARY KEY AUTOINCREMENT,
        pipeline        TEXT    NOT NULL,
        stream          TEXT    NOT NULL,
        status          TEXT    NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'stopped', 'crashed')),
        started_at      INTEGER NOT NULL,
        finished_at     INTEGER,
        records_read    INTEGER NOT NULL DEFAULT 0,
        records_written INTEGER NOT NULL DEFAULT 0,
        bytes_read      INTEGER NOT NULL DEFAULT 0,
        bytes_written   INTEGER NOT NULL DEFAULT 0,
        error           TEXT,
        holder          TEXT    NOT NULL,
        holder_name     TEXT    NOT NULL,
        CHECK ((status = 'running') = (finished_at IS NULL))
    ) STRICT;
    -- At most one running sync of a stream.
    CREATE UNIQUE INDEX sync_runs_running ON sync_runs (pipeline, stream) WHERE status = 'running';
    CREATE INDEX sync_runs_history ON sync_runs (pipeline, stream, id);

    -- Every checkpoint that a destination has committed and the host has saved; the newest of a task counts.
    CREATE TABLE checkpoints (
        pipeline        TEXT    NOT NULL,
        stream          TEXT    NOT NULL,
        partition_index INTEGER NOT NULL,
        id              INTEGER NOT NULL CHECK (id > 0),
        run_id          INTEGER,
        cursor_field    TEXT,
        cursor_type     TEXT,
        cursor_value    TEXT,
        complete        INTEGER NOT NULL CHECK (complete IN (0, 1)),
        reset           INTEGER NOT NULL CHECK (reset IN (0, 1)),
        saved_at        INTEGER NOT NULL,
        PRIMARY KEY (pipeline, stream, partition_index, id),
        CHECK ((cursor_field IS NULL) = (cursor_type IS NULL) AND (cursor_type IS NULL) = (cursor_value IS NULL))
    ) STRICT, WITHOUT ROWID;

    -- Where each task stands, for people and their SQL.
    CREATE TABLE sync_cursors (
        pipeline        TEXT    NOT NULL,
        stream          TEXT    NOT NULL,
        partition_index INTEGER NOT NULL,
        cursor_field    TEXT    NOT NULL,
        cursor_type     TEXT    NOT NULL,
        cursor_value    TEXT    NOT NULL,
        updated_at      INTEGER NOT NULL,
        PRIMARY KEY (pipeline, stream, partition_index)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE connector_state (
        scope           TEXT    NOT NULL,
        key             TEXT    NOT NULL,
        value           BLOB    NOT NULL,
        updated_at      INTEGER NOT NULL,
        PRIMARY KEY (scope, key)
    ) STRICT, WITHOUT ROWID;
    ",
    // 2
    "
    -- Records that could not go on. Pending until a checkpoint covers them; then they get the next number.
    CREATE TABLE dead_letters (
        id              INTEGER PRIMARY KEY AUTOINCREMENT,
        settled_id      INTEGER UNIQUE,
        pipeline        TEXT    NOT NULL,
        stream          TEXT    NOT NULL,
        partition_index INTEGER NOT NULL,
        run_id          INTEGER NOT NULL,
        origin          TEXT    NOT NULL,
        connector       TEXT    NOT NULL,
        after_id        INTEGER NOT NULL CHECK (after_id >= 0),
        occurred_at     INTEGER NOT NULL,
        errors          TEXT    NOT NULL
    ) STRICT;
    CREATE INDEX dead_letters_pending ON dead_letters (pipeline, stream, partition_index, after_id)
        WHERE settled_id IS NULL;
    CREATE INDEX dead_letters_settled ON dead_letters (pipeline, settled_id) WHERE settled_id IS NOT NULL;

    -- How many records of a batch of dead letters have which code.
    CREATE TABLE dead_letter_codes (
        dead_letters_id INTEGER NOT NULL,
        code            TEXT    NOT NULL,
        records         INTEGER NOT NULL,
        PRIMARY KEY (dead_letters_id, code)
    ) STRICT, WITHOUT ROWID;
    -- Apart, so that settling does not write them again.
    CREATE TABLE dead_letter_frames (
        dead_letters_id INTEGER PRIMARY KEY,
        frame           BLOB    NOT NULL
    ) STRICT;
    CREATE TRIGGER dead_letters_gone AFTER DELETE ON dead_letters BEGIN
        DELETE FROM dead_letter_codes WHERE dead_letters_id = old.id;
        DELETE FROM dead_letter_frames WHERE dead_letters_id = old.id;
    END;

    -- Numbers that were given out and are never given out again.
    CREATE TABLE sequences (
        name            TEXT    PRIMARY KEY NOT NULL,
        value           INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO sequences (name, value) VALUES ('settled', 0);
    ",
];

/// The version this program writes.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// Why a database cannot be brought to this version.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("written by a newer version")]
    TooNew { found: i64 },
    #[error("it is a database of another program")]
    Foreign,
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Brings a database to this version: all missing migrations in one transaction, or none.
pub fn migrate(connection: &mut Connection) -> Result<(), SchemaError> {
    if check(connection)? == VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Again, now that nobody else can migrate.
    let found = check(&transaction)?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// The version of a database that is ours or empty.
fn check(connection: &Connection) -> Result<i64, SchemaError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = pragma("user_version")?;
    if pragma("application_id")? == i64::from(APPLICATION_ID) {
        return if found > VERSION { Err(SchemaError::TooNew { found }) } else { Ok(found.max(0)) };
    }
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if found != 0 || tables != 0 { Err(SchemaError::Foreign) } else { Ok(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrates_once_and_refuses_what_is_not_ours() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        assert_eq!(check(&connection).unwrap(), VERSION);

        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        assert!(
            matches!(migrate(&mut connection), Err(SchemaError::TooNew { found }) if found == VERSION + 1)
        );

        let mut foreign = Connection::open_in_memory().unwrap();
        foreign.execute_batch("CREATE TABLE customers (id INTEGER)").unwrap();
        assert!(matches!(migrate(&mut foreign), Err(SchemaError::Foreign)));
    }

    #[test]
    fn a_state_of_the_first_version_keeps_what_it_holds() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        connection
            .execute_batch(
                "INSERT INTO checkpoints VALUES ('p', 's', 0, 7, NULL, 'id', 'int64', '41', 0, 0, 1);
                 INSERT INTO connector_state VALUES ('x', 'k', x'00ff', 1)",
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        assert_eq!(check(&connection).unwrap(), VERSION);
        let kept: (String, Vec<u8>) = connection
            .query_row("SELECT cursor_value, value FROM checkpoints, connector_state", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(kept, ("41".to_owned(), vec![0, 0xff]));
    }

    #[test]
    fn a_failed_migration_leaves_nothing_behind() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "max_page_count", 4).unwrap();
        assert!(matches!(migrate(&mut connection), Err(SchemaError::Sqlite(_))));
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 0);
        assert_eq!(check(&connection).unwrap(), 0);
    }
}
