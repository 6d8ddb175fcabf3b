//! State in a PostgreSQL server, shared by any number of machines.
//!
//! A store has a thread of its own, with a runtime of its own, for its connections: a caller that computes or blocks cannot
//! keep it from saying that it lives, any executor may wait for its answers, and dropping it lets go of its claims.
//!
//! - `address`: connection strings. - `tls`: encryption. - `session`: one connection, and what its failures mean.
//! - `transaction`: work that happens once although connections break. - `claims`: who holds a run.
//! - `schema`: the tables. - the rest: the operations.

mod address;
mod checkpoints;
mod claims;
mod dead_letters;
mod rows;
mod runs;
mod schema;
mod session;
mod tls;
mod transaction;
mod transfer;
mod values;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use rapidbyte_core::dead_letter::{DeadLetterFilter, DeadLetterGroup, DeadLetters, StoredDeadLetters};
use rapidbyte_core::ports::{
    RunCounters, RunFilter, RunRecord, RunStatus, SavedCheckpoint, SavedPosition, StateError, StateStore,
    TaskKey,
};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, oneshot};

use crate::limits::{CLAIM_PATIENCE, CLAIM_RETRY_DELAY, ERROR_BYTES_MAX, RELEASE_TIME_MAX};
use crate::text::cut;
use address::Address;
use claims::Heartbeat;
use session::{Fault, Session};
use tls::MakeTls;
use transaction::{Operation, Worker};

/// State in a PostgreSQL server. Cheap to clone; the clones share the connections and the process's claims.
#[derive(Clone)]
pub struct PostgresStore {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    thread: Thread,
}

impl Drop for Inner {
    /// Behind this the claims are free: a store that is let go of holds nobody up.
    fn drop(&mut self) {
        let shared = self.shared.clone();
        let (done, released) = std::sync::mpsc::channel::<()>();
        self.thread.handle.spawn(async move {
            let heartbeat = shared.heartbeat.lock().await.take();
            if let Some(heartbeat) = heartbeat {
                heartbeat.release().await;
            }
            drop(done);
        });
        // Ends when `done` is dropped.
        let _ = released.recv_timeout(RELEASE_TIME_MAX);
    }
}

/// The server as this store knows it.
#[derive(Clone)]
struct Server {
    address: Arc<Address>,
    tls: MakeTls,
    location: String,
    /// This store among all that ever use the server.
    holder: i64,
    holder_name: String,
}

impl Server {
    async fn new(address: Address) -> Result<Self, StateError> {
        let location = address.location();
        let tls = read_tls(&address)
            .await
            .map_err(|message| StateError::Unavailable { location: location.clone(), message })?;
        let (holder, holder_name) = (claims::new_id(), claims::describe_this_process());
        Ok(Server { address: Arc::new(address), tls, location, holder, holder_name })
    }

    fn unavailable(&self, message: impl Into<String>) -> StateError {
        StateError::Unavailable { location: self.location.clone(), message: message.into() }
    }
}

struct Shared {
    server: Arc<Server>,
    worker: Mutex<Worker>,
    /// Made with the first claim, so that looking at the state leaves no trace.
    heartbeat: Mutex<Option<Heartbeat>>,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgresStore({})", self.inner.shared.server.location)
    }
}

impl PostgresStore {
    /// Connects to the server that `connection` names (a URL or `key=value` pairs, as libpq takes them, with `schema`),
    /// makes the tables where there are none, and migrates them.
    pub async fn open(connection: &str) -> Result<Self, StateError> {
        let address = parse_address(connection)?;
        let location = address.location();
        let thread = Thread::start().map_err(|error| StateError::Unavailable {
            location: location.clone(),
            message: format!("cannot start a thread for the connections: {error}"),
        })?;
        let gone = location.clone();
        let opening = thread.handle.spawn(async move {
            let server = Arc::new(Server::new(address).await?);
            let session = first_session(&server, true).await?;
            let worker = Mutex::new(Worker::over(session));
            Ok(Shared { server, worker, heartbeat: Mutex::new(None) })
        });
        let shared = opening.await.unwrap_or_else(|error| {
            Err(StateError::Unavailable {
                location: gone,
                message: format!("the state's thread ended: {error}"),
            })
        })?;
        Ok(PostgresStore { inner: Arc::new(Inner { shared: Arc::new(shared), thread }) })
    }

    /// Whether the server that `connection` names can keep a state; answers where that is. Makes nothing there.
    pub async fn reach(connection: &str) -> Result<String, StateError> {
        let server = Server::new(parse_address(connection)?).await?;
        first_session(&server, false).await?;
        Ok(server.location)
    }

    /// Does `work` on the store's thread. Dropping the future does not interrupt the work.
    async fn there<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StateError>> + Send + 'static,
    ) -> Result<T, StateError> {
        self.inner.thread.handle.spawn(work).await.unwrap_or_else(|error| {
            Err(self.inner.shared.server.unavailable(format!("the state's thread ended: {error}")))
        })
    }

    async fn write<O>(&self, operation: O) -> Result<O::Answer, StateError>
    where
        O: Operation + 'static,
        O::Answer: 'static,
    {
        let shared = self.inner.shared.clone();
        self.there(async move { shared.worker.lock().await.write(&shared.server, &operation).await }).await
    }

    async fn read<O>(&self, operation: O) -> Result<O::Answer, StateError>
    where
        O: Operation + 'static,
        O::Answer: 'static,
    {
        let shared = self.inner.shared.clone();
        self.there(async move { shared.worker.lock().await.read(&shared.server, &operation).await }).await
    }
}

/// The password in a connection string, for whoever must keep it out of what is shown.
pub fn password_of(connection: &str) -> Option<String> {
    let address = Address::parse(connection).ok()?;
    String::from_utf8(address.config.get_password()?.to_vec()).ok()
}

fn parse_address(connection: &str) -> Result<Address, StateError> {
    Address::parse(connection).map_err(|message| StateError::Unavailable {
        location: "state.connection".to_owned(),
        message: format!("the connection string cannot be used: {message}"),
    })
}

async fn read_tls(address: &Address) -> Result<MakeTls, String> {
    let (verification, roots) = (address.verification, address.root_certificates.clone());
    let reading = tokio::task::spawn_blocking(move || MakeTls::new(verification, roots.as_deref()));
    reading.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// The first connection: a server that is not there is said at once. With `migrate` its tables are made or migrated.
async fn first_session(server: &Server, migrate: bool) -> Result<Session, StateError> {
    let opened = async {
        let session = Session::open(server, false).await?;
        let encoding = session.one("SELECT current_setting('server_encoding')", &[]).await?;
        let encoding: String = encoding.get(0);
        if encoding != "UTF8" {
            return Err(session.refuse(format!("the database is encoded in {encoding}; use one in UTF8")));
        }
        if migrate {
            schema::migrate(&session).await?;
        }
        Ok(session)
    };
    opened.await.map_err(|fault| match fault {
        Fault::Refused(error) => error,
        Fault::Lost(message) | Fault::Conflict(message) => {
            server.unavailable(format!("{message}; check that the server runs and can be reached from here"))
        }
    })
}

#[async_trait]
impl StateStore for PostgresStore {
    fn location(&self) -> String {
        self.inner.shared.server.location.clone()
    }

    async fn begin_run(&self, pipeline: &str, stream: &str) -> Result<i64, StateError> {
        let begin = runs::BeginRun { pipeline: pipeline.to_owned(), stream: stream.to_owned() };
        let shared = self.inner.shared.clone();
        self.there(async move {
            let mut heartbeat = shared.heartbeat.lock().await;
            if heartbeat.is_none() {
                *heartbeat = Some(Heartbeat::start(&shared.server).await?);
            }
            drop(heartbeat);
            let started = Instant::now();
            loop {
                let begun = shared.worker.lock().await.write(&shared.server, &begin).await;
                match begun {
                    Err(StateError::Busy { holder, .. })
                        if holder != claims::THIS_PROCESS && started.elapsed() < CLAIM_PATIENCE =>
                    {
                        tokio::time::sleep(CLAIM_RETRY_DELAY).await;
                    }
                    begun => return begun,
                }
            }
        })
        .await
    }

    async fn finish_run(
        &self,
        run_id: i64,
        status: RunStatus,
        counters: RunCounters,
        error: Option<&str>,
    ) -> Result<(), StateError> {
        let error = error.map(|error| cut(error, ERROR_BYTES_MAX));
        self.write(runs::FinishRun { run_id, status, counters, error }).await
    }

    async fn last_checkpoint(&self, key: &TaskKey) -> Result<Option<SavedCheckpoint>, StateError> {
        self.read(checkpoints::LastCheckpoint { key: key.clone() }).await
    }

    async fn save_checkpoint(
        &self,
        run_id: i64,
        key: &TaskKey,
        checkpoint: &SavedCheckpoint,
        counters: RunCounters,
    ) -> Result<(), StateError> {
        let (key, checkpoint) = (key.clone(), checkpoint.clone());
        self.write(checkpoints::SaveCheckpoint { run_id, key, checkpoint, counters }).await
    }

    async fn add_dead_letters(
        &self,
        run_id: i64,
        key: &TaskKey,
        letters: &DeadLetters,
    ) -> Result<(), StateError> {
        let (key, letters) = (key.clone(), letters.clone());
        self.write(dead_letters::AddDeadLetters { run_id, key, letters }).await
    }

    async fn resolve_dead_letters(&self, key: &TaskKey, committed: Option<u64>) -> Result<(), StateError> {
        self.write(dead_letters::ResolveDeadLetters { key: key.clone(), committed }).await
    }

    async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        behind: i64,
        limit: u32,
    ) -> Result<Vec<StoredDeadLetters>, StateError> {
        self.read(dead_letters::Settled { filter: filter.clone(), behind, limit }).await
    }

    async fn dead_letter_groups(&self, pipeline: Option<&str>) -> Result<Vec<DeadLetterGroup>, StateError> {
        self.read(dead_letters::Groups { pipeline: pipeline.map(str::to_owned) }).await
    }

    async fn forget_dead_letters(&self, ids: &[i64]) -> Result<(), StateError> {
        self.write(dead_letters::Forget { ids: ids.to_vec() }).await
    }

    async fn positions(&self, pipeline: Option<&str>) -> Result<Vec<SavedPosition>, StateError> {
        self.read(checkpoints::Positions { pipeline: pipeline.map(str::to_owned) }).await
    }

    async fn history(&self, filter: &RunFilter, limit: u32) -> Result<Vec<RunRecord>, StateError> {
        self.read(runs::History { filter: filter.clone(), limit }).await
    }

    async fn reset(&self, pipeline: &str, stream: Option<&str>) -> Result<Vec<TaskKey>, StateError> {
        let (pipeline, stream) = (pipeline.to_owned(), stream.map(str::to_owned));
        self.write(runs::Reset { pipeline, stream }).await
    }

    async fn get(&self, scope: &str, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.read(values::Get { scope: scope.to_owned(), key: key.to_owned() }).await
    }

    async fn put(&self, scope: &str, key: &str, value: &[u8]) -> Result<(), StateError> {
        let (scope, key, value) = (scope.to_owned(), key.to_owned(), value.to_vec());
        self.write(values::Put { scope, key, value }).await
    }

    async fn compare_and_swap(
        &self,
        scope: &str,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<bool, StateError> {
        let (scope, key) = (scope.to_owned(), key.to_owned());
        let (expected, value) = (expected.map(<[u8]>::to_vec), value.to_vec());
        self.write(values::CompareAndSwap { scope, key, expected, value }).await
    }
}

/// A thread with a runtime, which ends when this is dropped; whatever runs on it ends with it.
struct Thread {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Thread {
    fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("state".to_owned()).spawn(move || {
            let _ = runtime.block_on(stopped);
            // A name that is being looked up must not hold up the end.
            runtime.shutdown_background();
        })?;
        Ok(Thread { handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Behind this, the connections are closed.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
