//! What publishing needs to know of a project besides its component: the version control that it is under ([`git`]), and what it
//! is made of ([`materials`]).

pub mod git;
pub mod materials;
