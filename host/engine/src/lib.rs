//! The engine: plans a pipeline's tasks and runs them, losing nothing and repeating nothing.
//!
//! It sees the world through the ports of `rapidbyte-core` alone: connectors, state and observer are traits here. It
//! refuses to know Wasm, SQL, YAML syntax, files, the network and the terminal.
//!
//! ```text
//! Pipeline document ──► PipelineSpec ──► plan() ──► RunPlan { Task, Task, … } ──► run() ──► RunReport
//!                       (document.rs)   (plan.rs)                                (run.rs)
//!
//! one Task (task.rs):   source ──► pump ──► transform ──► pump ──► destination
//!                                   │ stamps checkpoints (pump.rs)      │ confirms them (commit.rs)
//!                                   └────────────── ledger ─────────────┴──► state
//! ```
//!
//! Read `pump.rs` for the hot path, `commit.rs` for the commit protocol, `resume.rs` for where a stream goes on.
//!
//! # The API
//!
//! - [`PipelineSpec`] is what is to be moved; it comes from the checked document by [`PipelineSpec::from_document`].
//! - [`Connectors`] are the loaded connectors with their configurations, [`Ports`] the state, the observer and the
//!   cancellation.
//! - [`plan`] asks the connectors what they offer and makes a [`RunPlan`], or says everything that is wrong at once.
//! - [`run`] executes a plan and always answers a [`RunReport`]; [`Cancellation::request`] stops it cleanly, a second
//!   request at once.
//! - [`check`] does all that can be done without moving anything and answers a [`CheckReport`].
//! - [`discover`] answers the source's catalog.

mod breaker;
mod cancel;
mod check;
mod commit;
mod document;
mod error;
mod instance;
mod limits;
mod memory;
mod partition;
mod plan;
mod profile;
mod pump;
mod report;
mod resume;
mod retry;
mod run;
mod schema;
mod services;
mod shared;
mod spec;
mod stage;
mod steps;
mod stream;
mod survey;
mod task;

pub use breaker::BreakerPolicy;
pub use cancel::{CancelLevel, Cancellation};
pub use check::{CheckItem, CheckReport, CheckStatus, CheckSubject, check};
pub use error::{Fault, Origin, Place, PlanError, Problem};
pub use memory::MemoryPlan;
pub use plan::{
    ContractPlan, PlanOptions, REPLAY_PARTITION, RuleAction, RunPlan, Split, StepKind, Task, TransformStep,
    plan,
};
pub use report::{RunReport, StreamReport};
pub use retry::{Backoff, RetryPolicy};
pub use run::run;
pub use spec::{
    Connectors, ContractRule, ContractSpec, OnViolation, PipelineSpec, Plugged, Ports, RequiredColumn,
    ResourceSpec, Selection, StreamSpec, TransformKind, TransformSpec,
};
pub use steps::Violation;
pub use survey::discover;
