//! `dest-postgres` against a real server, driven through the SDK's in-memory host. One binary, so that the tests share
//! one server.

mod crash;
mod evolve;
mod harness;
mod modes;
mod partitions;
mod prepare;
mod receipts;
mod refusals;
mod replace;
mod roundtrip;
mod values;
