//! All clauses in the order they run and are shown, and the page that documents them. A clause that is not here does not
//! exist; the suite's own tests hold one rogue connector against each.

use std::fmt::Write;

use rapidbyte_host::core::ConnectorRole;

use crate::clause::Clause;
use crate::clauses::{common, destination, source, transform};

/// Every clause.
pub const CLAUSES: &[Clause] = &[
    common::identity_agrees::CLAUSE,
    common::capabilities_agree::CLAUSE,
    common::imports_agree::CLAUSE,
    common::config_valid::CLAUSE,
    common::config_missing_key::CLAUSE,
    common::config_unknown_key::CLAUSE,
    common::config_wrong_type::CLAUSE,
    common::secrets_marked::CLAUSE,
    common::survives_odd_input::CLAUSE,
    common::validate_honest::CLAUSE,
    common::close_twice::CLAUSE,
    common::run_after_close::CLAUSE,
    common::two_sessions::CLAUSE,
    common::cancellation_prompt::CLAUSE,
    common::memory_limit::CLAUSE,
    common::time_limit::CLAUSE,
    common::grants_respected::CLAUSE,
    source::discovery_stable::CLAUSE,
    source::discovery_unique::CLAUSE,
    source::discovery_valid::CLAUSE,
    source::read_schema::CLAUSE,
    source::read_batch_bytes::CLAUSE,
    source::read_projection::CLAUSE,
    source::read_filter::CLAUSE,
    source::read_partitions::CLAUSE,
    source::read_snapshot::CLAUSE,
    source::read_unknown_stream::CLAUSE,
    source::read_max_records::CLAUSE,
    source::read_dry_run::CLAUSE,
    source::read_summary::CLAUSE,
    source::resume_every_checkpoint::CLAUSE,
    source::resume_future_cursor::CLAUSE,
    source::checkpoints_monotone::CLAUSE,
    destination::write_append::CLAUSE,
    destination::write_replace::CLAUSE,
    destination::replace_interrupted::CLAUSE,
    destination::write_upsert::CLAUSE,
    destination::write_merge::CLAUSE,
    destination::resume_from_receipt::CLAUSE,
    destination::checkpoints_confirmed::CLAUSE,
    destination::checkpoints_repeated::CLAUSE,
    destination::write_nulls::CLAUSE,
    destination::write_empty_batches::CLAUSE,
    destination::write_odd_identifiers::CLAUSE,
    destination::write_types::CLAUSE,
    destination::evolve_new_column::CLAUSE,
    destination::evolve_removed_column::CLAUSE,
    destination::evolve_type_change::CLAUSE,
    destination::evolve_nullability::CLAUSE,
    destination::dead_letters::CLAUSE,
    destination::write_dry_run::CLAUSE,
    destination::write_summary::CLAUSE,
    transform::transform_schema::CLAUSE,
    transform::transform_deterministic::CLAUSE,
    transform::transform_order::CLAUSE,
    transform::transform_checkpoints::CLAUSE,
    transform::transform_accounts::CLAUSE,
    common::faults_each_import::CLAUSE,
    common::faults_combined::CLAUSE,
    // The last: it looks at all that was said before.
    common::secrets_unspoken::CLAUSE,
];

/// The clauses that a role is held to.
pub fn of_role(role: ConnectorRole) -> impl Iterator<Item = &'static Clause> {
    CLAUSES.iter().filter(move |clause| clause.role.is_none_or(|of| of == role))
}

/// A clause by name.
pub fn named(name: &str) -> Option<&'static Clause> {
    CLAUSES.iter().find(|clause| clause.name == name)
}

/// The word for whom a clause is about.
pub fn role_word(clause: &Clause) -> &'static str {
    clause.role.map_or("all", ConnectorRole::as_str)
}

/// `docs/clauses.md`.
pub fn page() -> String {
    let mut page = String::from(
        "# Conformance clauses\n\n\
         <!-- Generated from `conformance/src/clauses`; `cargo test -p rapidbyte-conformance page_of_clauses` brings it up \
         to date. -->\n\n\
         What `rapidbyte connector test` proves. [The suite](conformance.md) says how to run it.\n",
    );
    let roles =
        [None, Some(ConnectorRole::Source), Some(ConnectorRole::Destination), Some(ConnectorRole::Transform)];
    for role in roles {
        let title = match role {
            None => "Every connector",
            Some(ConnectorRole::Source) => "Sources",
            Some(ConnectorRole::Destination) => "Destinations",
            Some(ConnectorRole::Transform) => "Transforms",
        };
        let _ = write!(page, "\n## {title}\n");
        for clause in CLAUSES.iter().filter(|clause| clause.role == role) {
            let _ = write!(
                page,
                "\n### `{}`\n\n{}\n\nSeverity: {}. If it is broken: {}\n",
                clause.name,
                clause.explanation,
                clause.severity.word(),
                clause.hint
            );
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn names_are_unique_and_readable() {
        let mut seen = std::collections::BTreeSet::new();
        for clause in CLAUSES {
            assert!(seen.insert(clause.name), "{} is there twice", clause.name);
            assert!(
                clause.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
                "{}",
                clause.name
            );
            assert!(clause.explanation.ends_with('.') && clause.hint.ends_with('.'), "{}", clause.name);
        }
    }

    #[test]
    fn the_page_of_clauses_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/clauses.md");
        if std::fs::read_to_string(&path).unwrap_or_default() != page() {
            std::fs::write(&path, page()).expect("docs can be written");
            panic!("docs/clauses.md was out of date; it is written anew, look at it and commit it");
        }
    }
}
