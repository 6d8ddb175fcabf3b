//! Connectors from a folder or a file to something that can be started: [`build`] makes a component of a project, with
//! [`scripted`] where that is in Python or JavaScript, [`agreement`] holds it against its manifest, `names` keeps hashes of
//! folders out of it and [`section`] its manifest inside, [`sources`] says what it is built from, [`load`] holds a pipeline's
//! config against it, [`grants`] computes what it may reach.

pub mod agreement;
pub mod build;
pub mod grants;
pub mod load;
mod names;
pub mod scripted;
pub mod section;
pub mod sources;
