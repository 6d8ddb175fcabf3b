//! The errors of dead letters as text in the state, `[[row, "code", "message"], …]`, the same in every backend.
//!
//! Refuses to know: what a code means.

use std::collections::{BTreeMap, BTreeSet};

use rapidbyte_core::contract::RecordError;

pub fn to_text(errors: &[RecordError]) -> String {
    let tuples: Vec<_> = errors.iter().map(|error| (error.row, &error.code, &error.message)).collect();
    serde_json::json!(tuples).to_string()
}

/// None: the text was not made by [`to_text`].
pub fn from_text(text: &str) -> Option<Vec<RecordError>> {
    let tuples: Vec<(u32, String, String)> = serde_json::from_str(text).ok()?;
    Some(tuples.into_iter().map(|(row, code, message)| RecordError { row, code, message }).collect())
}

/// How many records have which code.
pub fn records_by_code(errors: &[RecordError]) -> BTreeMap<&str, u64> {
    let distinct: BTreeSet<(&str, u32)> =
        errors.iter().map(|error| (error.code.as_str(), error.row)).collect();
    let mut counts = BTreeMap::new();
    for (code, _) in distinct {
        *counts.entry(code).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(row: u32, code: &str) -> RecordError {
        RecordError { row, code: code.into(), message: "a \"quoted\" \0 ünïcode message".into() }
    }

    #[test]
    fn errors_come_back_as_they_were() {
        let errors = vec![error(0, "22P02"), error(u32::MAX, "")];
        assert_eq!(from_text(&to_text(&errors)), Some(errors));
        assert_eq!(from_text("[[1]]"), None);
    }

    #[test]
    fn a_record_counts_once_for_each_of_its_codes() {
        let errors = [error(0, "a"), error(0, "a"), error(0, "b"), error(1, "a")];
        assert_eq!(records_by_code(&errors), BTreeMap::from([("a", 2), ("b", 1)]));
    }
}
