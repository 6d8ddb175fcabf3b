//! Who holds a claim, across machines. No clock but the server's is asked.
//!
//! A store that claims anything keeps a connection of its own on which it holds an advisory lock under its id, and on
//! which it says that it lives. A claim is dead when the server knows of no such lock (the process ended: its
//! system closed the connection; its machine is gone: the server's keepalives found out), or when its holder has not been
//! heard of for the length of its lease (it stands still). The row of a run, not the lease, is what admits one writer:
//! whoever takes a claim over marks the run as crashed, and every write of the former holder finds that in its own
//! transaction.

use std::sync::Arc;
use std::time::Duration;

use rapidbyte_core::ports::StateError;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Server;
use super::session::{Fault, Session};
use super::transaction::connect_again;
use crate::limits::*;

/// How a claim's own process is called.
pub const THIS_PROCESS: &str = "this very process";

/// The task that says that this store lives.
pub struct Heartbeat {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Heartbeat {
    /// Becomes a holder.
    pub async fn start(server: &Arc<Server>) -> Result<Self, StateError> {
        let session = connect_again(server).await?;
        let enter = async {
            if !lock(&session).await? {
                return Err(session.refuse("another store has this one's id"));
            }
            forget_strangers(&session).await?;
            say_alive(&session).await
        };
        match tokio::time::timeout(OPERATION_TIMEOUT, enter).await {
            Ok(Ok(())) => {
                let (stop, stopped) = oneshot::channel();
                Ok(Heartbeat { task: tokio::spawn(keep_alive(server.clone(), session, stopped)), stop })
            }
            Ok(Err(Fault::Refused(error))) => Err(error),
            Ok(Err(Fault::Lost(message) | Fault::Conflict(message))) => Err(server.unavailable(message)),
            Err(_) => Err(server.unavailable("the server did not answer")),
        }
    }
}

impl Heartbeat {
    /// Lets go of all claims, and returns once the server knows.
    pub async fn release(self) {
        let _ = self.stop.send(());
        let stop = self.task.abort_handle();
        if tokio::time::timeout(RELEASE_TIME_MAX, self.task).await.is_err() {
            stop.abort();
        }
    }
}

async fn keep_alive(server: Arc<Server>, mut session: Session, mut stopped: oneshot::Receiver<()>) {
    let mut locked = true;
    loop {
        let wait = if locked { HEARTBEAT_INTERVAL } else { RECONNECT_DELAY_MIN };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = session.wait_ended() => {}
            _ = &mut stopped => {
                let _ = session.one("SELECT pg_advisory_unlock($1)", &[&server.holder]).await;
                return;
            }
        }
        if session.is_ended() {
            locked = false;
            match connect_again(&server).await {
                Ok(connected) => session = connected,
                Err(error) => {
                    // Whoever runs something finds out by the operations; this goes on trying.
                    tracing::warn!(%error, "cannot say that the runs of this process live");
                    tokio::time::sleep(RECONNECT_DELAY_MAX).await;
                    continue;
                }
            }
        }
        let beat = async {
            // The server may still hold the lock for the connection that broke.
            let locked = locked || lock(&session).await?;
            say_alive(&session).await?;
            Ok::<bool, Fault>(locked)
        };
        match tokio::time::timeout(HEARTBEAT_INTERVAL, beat).await {
            Ok(Ok(now_locked)) => locked = now_locked,
            Ok(Err(fault)) => tracing::debug!(?fault, "a heartbeat failed"),
            Err(_) => {
                // A connection that does not answer is given up; nothing is lost by making it again.
                locked = false;
                if let Ok(connected) = Session::open(&server, false).await {
                    session = connected;
                }
            }
        }
    }
}

async fn lock(session: &Session) -> Result<bool, Fault> {
    let row = session.one("SELECT pg_try_advisory_lock($1)", &[&session.server().holder]).await?;
    Ok(row.get(0))
}

async fn say_alive(session: &Session) -> Result<(), Fault> {
    let server = session.server();
    session
        .execute(
            "INSERT INTO holders (id, name, seen_at, lease_seconds) VALUES ($1, $2, clock_timestamp(), $3)
             ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()",
            &[&server.holder, &server.holder_name, &LEASE.as_secs_f64()],
        )
        .await
        .map(|_| ())
}

/// Forgets stores that ended long ago.
async fn forget_strangers(session: &Session) -> Result<(), Fault> {
    session
        .execute(
            "DELETE FROM holders WHERE seen_at < clock_timestamp() - $1 * interval '1 second'
                 AND NOT EXISTS (SELECT FROM sync_runs WHERE status = 'running' AND holder = holders.id)",
            &[&STORE_KEPT_SECONDS],
        )
        .await?;
    session
        .execute(
            "DELETE FROM commits WHERE committed_at < clock_timestamp() - $1 * interval '1 second'",
            &[&STORE_KEPT_SECONDS],
        )
        .await?;
    Ok(())
}

/// Whether a holder lives, by all that the server knows.
pub async fn is_alive(session: &Session, holder: i64) -> Result<bool, Fault> {
    let row = session
        .row(
            "SELECT clock_timestamp() > seen_at + lease_seconds * interval '1 second',
                    seen_at < pg_postmaster_start_time()
                        AND seen_at + lease_seconds * interval '1 second' > pg_postmaster_start_time()
                        AND clock_timestamp() < pg_postmaster_start_time() + $2 * interval '1 second'
             FROM holders WHERE id = $1",
            &[&holder, &RESTART_GRACE.as_secs_f64()],
        )
        .await?;
    let Some(row) = row else { return Ok(false) };
    let (expired, may_return): (bool, bool) = (row.get(0), row.get(1));
    // It lived when the server went down, and every connection ended then.
    if may_return {
        return Ok(true);
    }
    if expired {
        return Ok(false);
    }
    // To the end of this transaction: nobody becomes alive again while it is judged.
    let row = session.one("SELECT pg_try_advisory_xact_lock_shared($1)", &[&holder]).await?;
    Ok(!row.get::<_, bool>(0))
}

/// Fails if a living process runs one of these streams; marks the runs of dead ones as crashed.
pub async fn take_over(session: &Session, pipeline: &str, stream: Option<&str>) -> Result<(), Fault> {
    let running = session
        .rows(
            "SELECT id, stream, holder, holder_name FROM sync_runs
             WHERE status = 'running' AND pipeline = $1 AND ($2::text IS NULL OR stream = $2)
             ORDER BY stream FOR UPDATE",
            &[&pipeline, &stream],
        )
        .await?;
    for row in running {
        let (run_id, stream, holder, name): (i64, String, i64, String) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let ours = holder == session.server().holder;
        if ours || is_alive(session, holder).await? {
            let holder = if ours { THIS_PROCESS.to_owned() } else { name };
            return Err(Fault::Refused(StateError::Busy { pipeline: pipeline.to_owned(), stream, holder }));
        }
        tracing::info!(pipeline, stream, run_id, name, "the process of this run died; taking over");
        session
            .execute(
                "UPDATE sync_runs SET status = 'crashed', finished_at = extract(epoch FROM clock_timestamp())::bigint,
                                      error = $2
                 WHERE id = $1",
                &[&run_id, &format!("{name} died")],
            )
            .await?;
    }
    Ok(())
}

/// Fails unless this store still holds the run, and keeps it so to the end of the transaction.
pub async fn holds(session: &Session, run_id: i64) -> Result<(), Fault> {
    let row = session
        .row("SELECT status, holder, pipeline, stream FROM sync_runs WHERE id = $1 FOR UPDATE", &[&run_id])
        .await?;
    let Some(row) = row else { return Err(session.refuse(format!("run {run_id} is gone"))) };
    let (status, holder, pipeline, stream): (String, i64, String, String) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    match status.as_str() {
        "running" if holder == session.server().holder => Ok(()),
        "crashed" => Err(taken_over(session, &pipeline, &stream, run_id).await?),
        status => Err(session.refuse(format!("run {run_id} is not this process's any more: it is {status}"))),
    }
}

/// Fails unless this store holds the running sync of a stream.
pub async fn holds_stream(session: &Session, pipeline: &str, stream: &str) -> Result<(), Fault> {
    match running_holder(session, pipeline, stream).await? {
        Some(holder) if holder == session.server().holder => Ok(()),
        _ => Err(taken_over(session, pipeline, stream, 0).await?),
    }
}

/// Fails if somebody else holds the running sync of a stream.
pub async fn not_anothers(session: &Session, pipeline: &str, stream: &str) -> Result<(), Fault> {
    match running_holder(session, pipeline, stream).await? {
        Some(holder) if holder != session.server().holder => {
            Err(taken_over(session, pipeline, stream, 0).await?)
        }
        _ => Ok(()),
    }
}

async fn running_holder(session: &Session, pipeline: &str, stream: &str) -> Result<Option<i64>, Fault> {
    let row = session
        .row(
            "SELECT holder FROM sync_runs WHERE status = 'running' AND pipeline = $1 AND stream = $2 FOR SHARE",
            &[&pipeline, &stream],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// Who has a stream now that a run (0: this store) had before.
async fn taken_over(session: &Session, pipeline: &str, stream: &str, run_id: i64) -> Result<Fault, Fault> {
    let row = session
        .row(
            "SELECT holder_name FROM sync_runs WHERE pipeline = $1 AND stream = $2 AND id > $3 AND holder <> $4
             ORDER BY id DESC LIMIT 1",
            &[&pipeline, &stream, &run_id, &session.server().holder],
        )
        .await?;
    Ok(Fault::Refused(StateError::TakenOver {
        pipeline: pipeline.to_owned(),
        stream: stream.to_owned(),
        holder: row.map_or_else(|| "another process".to_owned(), |row| row.get(0)),
    }))
}

/// For messages: which process this is, where, and since when.
pub fn describe_this_process() -> String {
    let machine = whoami::hostname().unwrap_or_else(|_| "an unnamed machine".to_owned());
    let since = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_else(|_| jiff::Timestamp::now());
    format!("process {} on {machine} since {since}", std::process::id())
}

/// An id for a store that no other has: chance, like every key of a hash map of the standard library.
pub fn new_id() -> i64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_u128(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_nanos(),
    );
    hasher.finish().cast_signed()
}
