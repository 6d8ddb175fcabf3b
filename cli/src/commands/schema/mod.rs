//! `rapidbyte schema`: what a source offers.

pub mod discover;
pub mod inspect;
