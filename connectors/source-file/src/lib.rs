//! (owned by its module docs)
