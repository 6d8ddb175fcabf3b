//! `rapidbyte state`: what is remembered between runs.

pub mod reset;
pub mod show;
