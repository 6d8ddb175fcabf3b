//! The exports of a component: sessions, configuration, conversion. Author code runs only inside [`executor::run`].

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::rc::Rc;

use super::bindings::rapidbyte::connector::{core_types, stream_types};
use super::convert::{error_to_wit, open_info_to_wit, report_to_wit, request_from_wit, summary_to_wit};
use super::executor;
use super::host::Host;
use crate::config;
use crate::context::Context;
use crate::error::ConnectorError;
use crate::limits;
use crate::role::{DestinationRole, Role, SourceRole, TransformRole};
use crate::traits::{Destination, Source, Transform};

/// What `#[connector]` exports: a role's functions over any number of sessions.
pub struct Exports<R>(PhantomData<R>);

/// An open connector.
struct Session<R: Role> {
    /// Taken out while a call runs.
    connector: RefCell<Option<R::Connector>>,
    /// Read again by `validate`, so that configurations need not be `Clone`.
    config: String,
}

thread_local! {
    /// A component has one connector type, so all of these are `Session`s of one role.
    static SESSIONS: RefCell<HashMap<u64, Rc<dyn Any>>> = RefCell::default();
    static LAST_SESSION: Cell<u64> = const { Cell::new(0) };
}

fn session<R: Role>(id: u64) -> Result<Rc<Session<R>>, ConnectorError> {
    let session = SESSIONS.with(|sessions| sessions.borrow().get(&id).cloned());
    session
        .and_then(|session| session.downcast().ok())
        .ok_or_else(|| ConnectorError::internal("unknown_session", format!("session {id} is not open")))
}

type WitResult<T> = Result<T, core_types::ConnectorError>;

impl<R: Role> Exports<R> {
    fn open(config_json: String) -> WitResult<core_types::Opened> {
        executor::run(async {
            if SESSIONS.with(|sessions| sessions.borrow().len()) >= limits::SESSIONS_MAX {
                return Err(ConnectorError::internal("too_many_sessions", "too many sessions are open"));
            }
            let (connector, info) = R::open(config::parse(&config_json)?).await?;
            let id = LAST_SESSION.get() + 1;
            LAST_SESSION.set(id);
            let session: Rc<Session<R>> =
                Rc::new(Session { connector: RefCell::new(Some(connector)), config: config_json });
            SESSIONS.with(|sessions| sessions.borrow_mut().insert(id, session));
            Ok(core_types::Opened { session: id, info: open_info_to_wit(R::ROLE, info) })
        })
        .map_err(error_to_wit)
    }

    fn validate(id: u64) -> WitResult<core_types::ValidationReport> {
        executor::run(async {
            let session = session::<R>(id)?;
            R::validate(&config::parse(&session.config)?).await.map(report_to_wit)
        })
        .map_err(error_to_wit)
    }

    fn run(id: u64, request: stream_types::RunRequest) -> WitResult<stream_types::RunSummary> {
        executor::run(async {
            let session = session::<R>(id)?;
            let request = request_from_wit(request)?;
            let mut connector = session.take()?;
            let ctx = Context::new(Host, &request);
            let result = R::run(&mut connector, &ctx, request).await;
            session.connector.replace(Some(connector));
            summary_to_wit(R::ROLE, result?)
        })
        .map_err(error_to_wit)
    }

    fn close(id: u64) -> WitResult<()> {
        executor::run(async {
            // A session that is not open is not an error.
            let Ok(session) = session::<R>(id) else { return Ok(()) };
            SESSIONS.with(|sessions| sessions.borrow_mut().remove(&id));
            let mut connector = session.take()?;
            R::close(&mut connector).await
        })
        .map_err(error_to_wit)
    }
}

impl<R: Role> Session<R> {
    fn take(&self) -> Result<R::Connector, ConnectorError> {
        let connector = self.connector.borrow_mut().take();
        connector
            .ok_or_else(|| ConnectorError::internal("session_busy", "another call of the session is running"))
    }
}

macro_rules! guest {
    ($module:ident, $role:ident, $trait:ident) => {
        impl<C: $trait> super::bindings::$module::exports::rapidbyte::connector::$module::Guest
            for Exports<$role<C>>
        {
            fn open(config_json: String) -> WitResult<core_types::Opened> {
                Self::open(config_json)
            }

            fn validate(session: u64) -> WitResult<core_types::ValidationReport> {
                Self::validate(session)
            }

            fn run(session: u64, request: stream_types::RunRequest) -> WitResult<stream_types::RunSummary> {
                Self::run(session, request)
            }

            fn close(session: u64) -> WitResult<()> {
                Self::close(session)
            }
        }
    };
}

guest!(source, SourceRole, Source);
guest!(destination, DestinationRole, Destination);
guest!(transform, TransformRole, Transform);
