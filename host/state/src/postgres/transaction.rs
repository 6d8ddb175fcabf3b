//! Work on the server, once: a lost connection is made again and the work tried again, and whether an operation whose
//! answer was lost has happened is read from the server, never guessed.
//!
//! Every writing transaction first notes its number under the store's id. If the number is there already, an earlier
//! attempt was committed. The note is a row lock, too: an attempt that the server is still busy with is waited for.

use std::time::Instant;

use async_trait::async_trait;
use rapidbyte_core::ports::StateError;

use super::Server;
use super::session::{Fault, Session};
use crate::limits::*;

/// One atomic operation. It may be run several times, at most one of which is committed.
#[async_trait]
pub trait Operation: Send + Sync {
    type Answer: Send;
    async fn run(&self, session: &Session) -> Result<Self::Answer, Fault>;
}

/// The connection that operations share, one at a time.
#[derive(Default)]
pub struct Worker {
    session: Option<Session>,
    /// The number of the last writing operation.
    sequence: i64,
}

impl Worker {
    /// Starts with a connection that is there already.
    pub fn over(session: Session) -> Self {
        Worker { session: Some(session), sequence: 0 }
    }

    /// Reads, on a consistent view of the state.
    pub async fn read<O: Operation>(
        &mut self,
        server: &Server,
        operation: &O,
    ) -> Result<O::Answer, StateError> {
        let mut attempts = Attempts::new(server);
        loop {
            let session = self.session(server).await?;
            let attempt = async {
                session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
                let answer = operation.run(session).await?;
                session.batch("COMMIT").await?;
                Ok(answer)
            };
            match limited(attempt).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => self.recover(fault, &mut attempts).await?,
            }
        }
    }

    /// Writes, in one transaction that happens once.
    pub async fn write<O: Operation>(
        &mut self,
        server: &Server,
        operation: &O,
    ) -> Result<O::Answer, StateError> {
        self.sequence += 1;
        let sequence = self.sequence;
        let mut attempts = Attempts::new(server);
        // The answer of an attempt that asked for its commit and has not heard of it.
        let mut unheard = None;
        loop {
            let session = match self.session(server).await {
                Ok(session) => session,
                Err(_) if unheard.is_some() => {
                    return Err(server.unavailable(
                        "the connection broke during a commit, and the server did not come back: whether it happened is \
                         not known here; the next run reads it from the state",
                    ));
                }
                Err(error) => return Err(error),
            };
            match limited(write_once(session, sequence, operation, &mut unheard)).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => self.recover(fault, &mut attempts).await?,
            }
        }
    }

    /// Behind a failed attempt: the transaction is undone, or its connection given up. Fails where another attempt makes
    /// no sense.
    async fn recover(&mut self, fault: Fault, attempts: &mut Attempts<'_>) -> Result<(), StateError> {
        match fault {
            Fault::Lost(message) => {
                self.session = None;
                attempts.next(message)
            }
            Fault::Conflict(message) => {
                self.undo().await;
                attempts.next(message)
            }
            Fault::Refused(error) => {
                self.undo().await;
                Err(error)
            }
        }
    }

    async fn undo(&mut self) {
        if let Some(session) = &self.session
            && !matches!(tokio::time::timeout(CONNECT_TIMEOUT, session.batch("ROLLBACK")).await, Ok(Ok(())))
        {
            self.session = None;
        }
    }

    async fn session(&mut self, server: &Server) -> Result<&Session, StateError> {
        if self.session.as_ref().is_some_and(Session::is_ended) {
            self.session = None;
        }
        match self.session {
            Some(ref session) => Ok(session),
            None => Ok(self.session.insert(connect_again(server).await?)),
        }
    }
}

async fn write_once<O: Operation>(
    session: &Session,
    sequence: i64,
    operation: &O,
    unheard: &mut Option<O::Answer>,
) -> Result<O::Answer, Fault> {
    session.batch("BEGIN").await?;
    let noted = session
        .execute(
            "INSERT INTO commits (holder, sequence, committed_at) VALUES ($1, $2, clock_timestamp())
             ON CONFLICT (holder) DO UPDATE SET sequence = $2, committed_at = clock_timestamp()
                 WHERE commits.sequence < $2",
            &[&session.server().holder, &sequence],
        )
        .await?;
    if noted == 0 {
        session.batch("ROLLBACK").await?;
        return unheard
            .take()
            .ok_or_else(|| session.refuse(format!("operation {sequence} was done by another store")));
    }
    // An attempt before this one was not committed.
    *unheard = None;
    let answer = operation.run(session).await?;
    *unheard = Some(answer);
    session.batch("COMMIT").await?;
    unheard.take().ok_or_else(|| session.refuse("an answer went missing"))
}

async fn limited<T>(attempt: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    match tokio::time::timeout(OPERATION_TIMEOUT, attempt).await {
        Ok(done) => done,
        Err(_) => {
            Err(Fault::Lost(format!("the server did not answer within {} s", OPERATION_TIMEOUT.as_secs())))
        }
    }
}

/// Connects to a server that was there before, giving it time to come back.
pub async fn connect_again(server: &Server) -> Result<Session, StateError> {
    let started = Instant::now();
    let mut delay = RECONNECT_DELAY_MIN;
    loop {
        match Session::open(server, false).await {
            Ok(session) => return Ok(session),
            Err(Fault::Refused(error)) => return Err(error),
            Err(Fault::Lost(message) | Fault::Conflict(message)) => {
                if started.elapsed() + delay > RECONNECT_TIME_MAX {
                    return Err(server.unavailable(format!(
                        "{message}; the server did not come back within {} s: what was saved before is safe, run again",
                        RECONNECT_TIME_MAX.as_secs()
                    )));
                }
                tracing::debug!(message, "the state's server is away; connecting again");
            }
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(RECONNECT_DELAY_MAX);
    }
}

/// How often one operation was tried.
struct Attempts<'a> {
    server: &'a Server,
    made: u32,
}

impl<'a> Attempts<'a> {
    fn new(server: &'a Server) -> Self {
        Attempts { server, made: 0 }
    }

    fn next(&mut self, message: String) -> Result<(), StateError> {
        self.made += 1;
        if self.made >= OPERATION_ATTEMPTS_MAX {
            return Err(self.server.unavailable(format!("{message}; tried {} times", self.made)));
        }
        tracing::debug!(message, attempt = self.made, "an operation on the state is tried again");
        Ok(())
    }
}
