//! The engine through its front door, against connectors that implement the ports natively and a destination that
//! survives what kills the engine.
//!
//! - [`support`]: the durable world, the connectors, and what strikes them.
//! - [`simulation`]: kills, faults, cancellations and lost state at seeded and at all points; the content must be exact.
//! - [`behaviour`]: one sentence of the commit protocol a test.
//! - [`planning`]: what is refused before it runs, and `check`.

mod behaviour;
mod planning;
mod recovery;
mod simulation;
mod support;
