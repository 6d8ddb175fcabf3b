//! A file becomes a state: private, in the mode that we need, brought to this version.

use std::path::Path;
use std::time::Instant;

use rapidbyte_core::ports::StateError;
use rusqlite::{Connection, ErrorCode};

use super::explain::{sqlite_error, unavailable};
use crate::limits::{BUSY_RETRY_DELAY, BUSY_TIMEOUT, JOURNAL_BYTES_MAX};
use crate::schema::{self, SchemaError};

/// Why a database cannot be brought to this version, and the next step.
pub(super) fn schema_error(path: &Path, error: SchemaError) -> StateError {
    match error {
        SchemaError::TooNew { found } => {
            StateError::TooNew { location: path.display().to_string(), found, known: schema::VERSION }
        }
        SchemaError::Foreign => unavailable(
            path,
            "it is a SQLite database of another program; name another file in `state.path`".to_owned(),
        ),
        SchemaError::Sqlite(error) => sqlite_error(path, &error),
    }
}

/// Settings and migrations. Several processes may be the first at once: turning a file to the write-ahead log is refused
/// without waiting while another one does, so it is tried again for as long as a writer would be waited for.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), SchemaError> {
    let started = Instant::now();
    loop {
        match prepare_once(connection) {
            Err(SchemaError::Sqlite(error))
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && started.elapsed() < BUSY_TIMEOUT =>
            {
                std::thread::sleep(BUSY_RETRY_DELAY);
            }
            prepared => return prepared,
        }
    }
}

fn prepare_once(connection: &mut Connection) -> Result<(), SchemaError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Answers the mode; a file system without shared memory keeps the old journal, which is as safe and blocks readers.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update_and_check(None, "journal_size_limit", JOURNAL_BYTES_MAX, |_| Ok(()))?;
    schema::migrate(connection)
}

/// Makes the file readable for its owner only: cursors may be personal data. SQLite's own files follow its mode.
pub(super) fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path).map(|_| ())
}
