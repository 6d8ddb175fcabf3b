//! The conformance suite: proves on a built component, of whatever language, that it keeps the connector contract. It loads
//! the component into the real host, drives it by what its manifest and a fixture say, and judges by the content of rows.
//!
//! ```no_run
//! # async fn example(host: &rapidbyte_host::Host, progress: &mut dyn rapidbyte_host::connector::build::BuildProgress)
//! #     -> Result<(), Box<dyn std::error::Error>> {
//! use rapidbyte_conformance::{Options, Suite};
//!
//! let suite = Suite::prepare(host, &Options::new("connectors/source-file"), progress)?;
//! let report = suite.run(&mut |_| {}).await;
//! assert!(report.passed());
//! # Ok(()) }
//! ```
//!
//! # Map
//!
//! | module | owns |
//! | --- | --- |
//! | [`clauses`] | one file for each promise of the contract, by role |
//! | [`registry`] | all of them in order, and the page that documents them |
//! | [`clause`] | what a clause is and how its check ends |
//! | `subject`, `recorder`, `drive` | the connector under test and the suite's side of its channels |
//! | `rows`, `sample`, `readback` | content: compared, made, read back |
//! | `faulty` | work that is broken off by faults at the host's imports, and gone on with |
//! | `evolve` | streams whose schema changes between two runs |
//! | [`suite`] | which clauses run, and in what order |
//! | [`report`], [`junit`], [`certificate`] | the outcome for people, CI and publishing |
//!
//! Refuses to know: source code, the SDK, the terminal.

pub mod certificate;
pub mod clause;
pub mod clauses;
mod drive;
mod evolve;
mod faulty;
pub mod junit;
pub mod limits;
mod readback;
mod recorder;
pub mod registry;
pub mod report;
mod rows;
mod sample;
mod subject;
pub mod suite;

pub use clause::{Clause, Severity};
pub use registry::CLAUSES;
pub use report::{Outcome, Report, Verdict};
pub use suite::{Options, Suite, SuiteError};
