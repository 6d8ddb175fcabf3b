//! `rapidbyte connector`: making connectors.

pub mod build;
pub mod dev;
pub mod publish;
pub mod scaffold;
pub mod sdk;
pub mod test;
pub mod yank;
