//! The certificate: an in-toto statement with the test-result predicate, about the component by its digest. It is what
//! `publish` signs and attaches; unsigned it is a claim, no proof.

use serde_json::{Value, json};

use crate::report::{Report, Verdict};

/// The kind of statement, <https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md>.
pub const PREDICATE_TYPE: &str = "https://in-toto.io/attestation/test-result/v0.1";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// The statement.
pub fn certificate(report: &Report) -> Value {
    let named = |wanted: &dyn Fn(&Verdict) -> bool| -> Vec<&str> {
        report.outcomes.iter().filter(|it| wanted(&it.verdict)).map(|it| it.clause).collect()
    };
    let failed = |warning: bool| -> Vec<&str> {
        let failed = report.outcomes.iter().filter(|it| matches!(it.verdict, Verdict::Failed(_)));
        failed.filter(|it| (it.severity == crate::Severity::Warning) == warning).map(|it| it.clause).collect()
    };
    let reasons = |wanted: &dyn Fn(&Verdict) -> Option<&String>| -> Vec<Value> {
        let with_reason = report.outcomes.iter().filter_map(|it| Some((it.clause, wanted(&it.verdict)?)));
        with_reason.map(|(clause, reason)| json!({ "clause": clause, "reason": reason })).collect()
    };
    let result = match (report.passed(), failed(true).is_empty()) {
        (false, _) => "FAILED",
        (true, false) => "WARNED",
        (true, true) => "PASSED",
    };
    json!({
        "_type": STATEMENT_TYPE,
        "subject": [{ "name": report.connector, "digest": { "sha256": report.digest } }],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "result": result,
            "configuration": [{
                "name": "rapidbyte-conformance",
                "annotations": {
                    "suiteVersion": report.suite_version,
                    "seed": report.seed,
                    "network": report.network,
                    "role": report.role,
                    "partial": report.partial,
                    "startedAt": report.started_at,
                },
            }],
            "passedTests": named(&|verdict| *verdict == Verdict::Passed),
            "warnedTests": failed(true),
            "failedTests": failed(false),
            "annotations": {
                "exempt": reasons(&|verdict| match verdict { Verdict::Exempt(reason) => Some(reason), _ => None }),
                "notApplicable": reasons(&|verdict| match verdict {
                    Verdict::NotApplicable(reason) => Some(reason),
                    _ => None,
                }),
            },
        },
    })
}
