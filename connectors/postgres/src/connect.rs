//! A session: tokio-postgres over the host's sockets, TLS ended in the host, and settings under which every value's
//! text form is exact and independent of the server's configuration.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use futures_util::Stream;
use rapidbyte_sdk::prelude::*;
use tokio_postgres::{Client, CopyOutStream};

use crate::config::{ConnectOptions, SslMode};
use crate::errors::Endpoint;
use crate::limits::ROW_OVERHEAD_BYTES_MAX;
use crate::wire::{CopyRows, Envelope, Upgrade, Walker, Wire};

pub use crate::wire::Take;

/// Text forms that read back to the same value anywhere, and no time limits: a copy lasts as long as it lasts, and a
/// full channel downstream looks like an idle transaction.
const SETTINGS: &str = "SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; \
    SET extra_float_digits = 3; SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET xmlbinary = 'base64'; \
    SET xmloption = 'content'; SET standard_conforming_strings = on; SET statement_timeout = 0; \
    SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
    SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings \
    WHERE name IN ('idle_session_timeout', 'transaction_timeout')";

/// A connection and the task that drives it. Dropping it closes the connection.
pub struct Session {
    client: Client,
    endpoint: Endpoint,
    wire: Wire,
    driver: Driver,
    failure: Rc<RefCell<Option<ConnectorError>>>,
    server_version_num: u32,
}

impl Session {
    /// Connects, authenticates and applies the settings, within `connect_timeout`.
    ///
    /// # Errors
    /// `config`, `auth`, `permission` (the endpoint was not granted), `transient-network`, `transient-db`.
    pub async fn open(options: &ConnectOptions) -> Result<Self, ConnectorError> {
        options.check()?;
        let endpoint =
            Endpoint { host: options.host.clone(), port: options.port, database: options.database.clone() };
        let Ok(opened) = tokio::time::timeout(options.connect_timeout, Self::start(options, &endpoint)).await
        else {
            return Err(ConnectorError::transient_network(
                "connect_timeout",
                format!(
                    "{endpoint} did not answer within {} s: check `host` and `port`, or raise `connect_timeout`",
                    options.connect_timeout.as_secs()
                ),
            ));
        };
        opened
    }

    async fn start(options: &ConnectOptions, endpoint: &Endpoint) -> Result<Self, ConnectorError> {
        let socket = HostTcpStream::connect(&options.host, options.port, options.connect_timeout).await?;
        let wire = Wire::new(socket, options.sslmode != SslMode::Disable);
        let mut config = tokio_postgres::Config::new();
        config.user(&options.user).dbname(&options.database).application_name(&options.application_name);
        if let Some(password) = &options.password {
            config.password(password);
        }
        config.ssl_mode(match options.sslmode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                tokio_postgres::config::SslMode::Require
            }
        });
        let upgrade = Upgrade { options: tls_options(options) };
        let doing = "connecting";
        let (client, connection) =
            config.connect_raw(wire.clone(), upgrade).await.map_err(|error| endpoint.error(doing, &error))?;
        let failure = Rc::new(RefCell::new(None));
        let driver = Driver(tokio::task::spawn_local({
            let failure = Rc::clone(&failure);
            let endpoint = endpoint.clone();
            async move {
                if let Err(error) = connection.await {
                    failure.replace(Some(endpoint.error("talking to the server", &error)));
                }
            }
        }));
        let mut session =
            Self { client, endpoint: endpoint.clone(), wire, driver, failure, server_version_num: 0 };
        session.execute("preparing the session", SETTINGS).await?;
        let row = session
            .client
            .query_typed("SELECT current_setting('server_version_num')::int4", &[])
            .await
            .map_err(|error| session.error("reading the server's version", &error))?;
        session.server_version_num = row
            .first()
            .and_then(|row| row.try_get::<_, i32>(0).ok())
            .and_then(|version| u32::try_from(version).ok())
            .unwrap_or(0);
        Ok(session)
    }

    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    #[must_use]
    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// `150004` for 15.4.
    #[must_use]
    pub fn server_version_num(&self) -> u32 {
        self.server_version_num
    }

    /// Maps an error of this session's client. A connection that broke says how it broke.
    #[must_use]
    pub fn error(&self, doing: &str, error: &tokio_postgres::Error) -> ConnectorError {
        if error.is_closed()
            && let Some(failure) = self.failure.borrow().as_ref()
        {
            return failure.clone();
        }
        self.endpoint.error(doing, error)
    }

    /// Runs statements without parameters and without results.
    ///
    /// # Errors
    /// As [`Session::error`].
    pub async fn execute(&self, doing: &str, sql: &str) -> Result<(), ConnectorError> {
        self.client.batch_execute(sql).await.map_err(|error| self.error(doing, &error))
    }

    /// Starts `COPY … TO STDOUT (FORMAT binary)`. This, and never `client().copy_out`, is how rows are read: they do
    /// not pass through tokio-postgres.
    ///
    /// # Errors
    /// As [`Session::error`].
    pub async fn copy_out(
        &self,
        doing: &str,
        sql: &str,
        row_bytes_max: u64,
    ) -> Result<CopyOut<'_>, ConnectorError> {
        // Dropped with this future as well: then nobody takes the rows.
        let reader = Reader::new(&self.wire);
        let stream = self.client.copy_out(sql).await.map_err(|error| self.error(doing, &error))?;
        let message_bytes_max = usize::try_from(row_bytes_max.saturating_add(ROW_OVERHEAD_BYTES_MAX));
        Ok(CopyOut {
            session: self,
            reader,
            doing: doing.to_owned(),
            stream: Box::pin(stream),
            envelope: Envelope::default(),
            walker: Walker::new(message_bytes_max.unwrap_or(usize::MAX)),
        })
    }

    /// Says goodbye and waits until it is said.
    pub async fn close(self) {
        let Self { client, mut driver, .. } = self;
        drop(client);
        // How the task ended no longer matters.
        drop((&mut driver.0).await);
    }
}

/// The task that drives the connection. It ends with its session, however much the server still has to say: that is
/// how a read is broken off.
struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What `sslmode` means for the host's TLS.
fn tls_options(options: &ConnectOptions) -> TlsOptions {
    let verification = match options.sslmode {
        SslMode::VerifyFull => TlsVerification::Full,
        SslMode::VerifyCa => TlsVerification::Chain,
        // As in libpq: with a root certificate `require` checks the chain.
        SslMode::Require if options.ssl_root_cert.is_some() => TlsVerification::Chain,
        SslMode::Require | SslMode::Prefer | SslMode::Disable => TlsVerification::None,
    };
    TlsOptions {
        server_name: options.host.clone(),
        verification,
        roots_pem: options.ssl_root_cert.clone(),
        alpn: Vec::new(),
    }
}

/// A running `COPY … TO STDOUT (FORMAT binary)`.
pub struct CopyOut<'a> {
    session: &'a Session,
    reader: Reader<'a>,
    doing: String,
    stream: Pin<Box<CopyOutStream>>,
    envelope: Envelope,
    walker: Walker,
}

/// What [`CopyOut::next`] came back with.
#[derive(Debug, PartialEq, Eq)]
pub enum CopyEvent {
    /// Rows were given to the callback.
    Rows,
    /// A row above the limit was passed over: its size, its largest column's index and size.
    Oversized { bytes: usize, column: usize, column_bytes: usize },
    /// All rows have come.
    End,
}

impl CopyOut<'_> {
    /// Waits for rows and gives each (field count, then length and value per field) to `take`, until that has
    /// enough or nothing more has arrived. Dropping the future loses nothing.
    ///
    /// # Errors
    /// What the server says in the middle of a copy, or a lost connection.
    pub async fn next(&mut self, mut take: impl FnMut(&[u8]) -> Take) -> Result<CopyEvent, ConnectorError> {
        let mut malformed = None;
        let event = poll_fn(|context| {
            let envelope = &mut self.envelope;
            let mut take_row = |payload: &[u8]| {
                let opened = envelope.is_open();
                match envelope.row(payload) {
                    Ok(Some(row)) => {
                        let taken = take(row);
                        if taken == Take::Refused && !opened {
                            envelope.close();
                        }
                        taken
                    }
                    Ok(None) => Take::More,
                    Err(reason) => {
                        malformed = Some(reason);
                        Take::Enough
                    }
                }
            };
            match self.reader.0.poll_copy_data(context, &mut self.walker, &mut take_row) {
                Poll::Ready(CopyRows::Taken) => return Poll::Ready(Ok(CopyEvent::Rows)),
                Poll::Ready(CopyRows::Oversized) => {
                    self.envelope.open();
                    let (bytes, column, column_bytes) = self.walker.result();
                    return Poll::Ready(Ok(CopyEvent::Oversized { bytes, column, column_bytes }));
                }
                Poll::Ready(CopyRows::Other) | Poll::Pending => {}
            }
            match self.stream.as_mut().poll_next(context) {
                Poll::Ready(None) => Poll::Ready(Ok(CopyEvent::End)),
                Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error)),
                // tokio-postgres never sees `CopyData`.
                Poll::Ready(Some(Ok(_))) | Poll::Pending => Poll::Pending,
            }
        })
        .await
        .map_err(|error| self.session.error(&self.doing, &error))?;
        match malformed {
            None => Ok(event),
            Some(reason) => {
                Err(ConnectorError::internal("protocol_error", format!("{}: {reason}", self.doing)))
            }
        }
    }
}

/// That somebody takes the rows.
struct Reader<'a>(&'a Wire);

impl<'a> Reader<'a> {
    fn new(wire: &'a Wire) -> Self {
        wire.begin_copy();
        Self(wire)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.end_copy();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestServer;

    #[test]
    fn passwords_are_bound_to_the_channel() {
        let server = TestServer::start_with_tls();
        server.psql("postgres", "CREATE USER scram_user PASSWORD 'pw'");
        let mut options = server.options("postgres");
        options.sslmode = SslMode::Require;
        rapidbyte_sdk::testing::block_on(async {
            let socket =
                HostTcpStream::connect(&options.host, options.port, options.connect_timeout).await.unwrap();
            let mut config = tokio_postgres::Config::new();
            config.user("scram_user").password("pw").dbname("postgres");
            config.ssl_mode(tokio_postgres::config::SslMode::Require);
            // Refuses to log in without `SCRAM-SHA-256-PLUS`.
            config.channel_binding(tokio_postgres::config::ChannelBinding::Require);
            let upgrade = Upgrade { options: tls_options(&options) };
            let connected = config.connect_raw(Wire::new(socket, true), upgrade).await;
            assert!(connected.is_ok(), "{:?}", connected.err());
        });
    }

    /// What is left of an abandoned copy is dropped, and the session goes on.
    #[test]
    fn a_copy_can_be_abandoned() {
        let server = TestServer::shared();
        let database = server.database();
        rapidbyte_sdk::testing::block_on(async {
            let session = Session::open(&server.options(&database)).await.unwrap();
            for row_bytes in [100, 1_000_000] {
                let sql = format!(
                    "COPY (SELECT repeat('x', {row_bytes}) FROM generate_series(1, 30)) TO STDOUT (FORMAT binary)"
                );
                // Taken, refused, and walked over.
                for (row_bytes_max, answer) in
                    [(u64::MAX, Take::Enough), (u64::MAX, Take::Refused), (10, Take::More)]
                {
                    let mut copy = session.copy_out("copying", &sql, row_bytes_max).await.unwrap();
                    assert_ne!(copy.next(|_| answer).await.unwrap(), CopyEvent::End);
                    drop(copy);
                    let row = session.client().query_typed("SELECT 7", &[]).await.unwrap();
                    assert_eq!(row[0].get::<_, i32>(0), 7);
                }
            }
            session.close().await;
        });
    }

    #[test]
    fn a_refused_row_comes_again() {
        let server = TestServer::shared();
        let database = server.database();
        rapidbyte_sdk::testing::block_on(async {
            let session = Session::open(&server.options(&database)).await.unwrap();
            let sql = "COPY (SELECT n FROM generate_series(1, 1000) n) TO STDOUT (FORMAT binary)";
            let mut copy = session.copy_out("copying", sql, u64::MAX).await.unwrap();
            let (mut rows, mut refused) = (Vec::new(), true);
            loop {
                let event = copy.next(|row| {
                    refused = !refused;
                    if !refused {
                        return Take::Refused;
                    }
                    rows.push(row.to_vec());
                    Take::More
                });
                if event.await.unwrap() == CopyEvent::End {
                    break;
                }
            }
            assert_eq!(rows.len(), 1000);
            assert!(
                rows.iter()
                    .enumerate()
                    .all(|(index, row)| { row[6..] == i32::try_from(index + 1).unwrap().to_be_bytes() })
            );
        });
    }
}
