//! Whether an error is one that the faults of a run can have.

use rapidbyte_host::core::{CommitState, ConnectorError, ErrorCategory};
use rapidbyte_host::wasm::faults::{Fault, FaultKind, Import};

use crate::clause::{Check, mismatch, said};

/// What a connector may answer when a call has gone wrong so.
enum Expected {
    /// It must not notice.
    Success,
    /// An error that a retry may mend.
    Transient,
    /// One that a retry may mend, or the host's own: the import's list of errors does not tell them apart.
    TransientOrInternal,
    /// What the host answered, handed on.
    Category(ErrorCategory),
    /// It was ended; the host speaks for it.
    Gone,
}

fn expected(fault: &Fault) -> Expected {
    match (fault.kind(), fault.import()) {
        (FaultKind::Delay { .. }, _) => Expected::Success,
        // A write of all bytes, or an answer, that is cut short is a connection that broke.
        (FaultKind::CutShort { .. }, Import::TcpWrite | Import::HttpResponse) => Expected::Transient,
        (FaultKind::CutShort { .. }, _) => Expected::Success,
        (FaultKind::Reset, _) => Expected::Transient,
        (FaultKind::Refuse, Import::TcpConnect | Import::HttpRequest) => Expected::Transient,
        (FaultKind::Refuse, _) => Expected::Category(ErrorCategory::Permission),
        (FaultKind::HostError, Import::HttpRequest) => Expected::TransientOrInternal,
        (FaultKind::HostError, _) => Expected::Category(ErrorCategory::Internal),
        (FaultKind::Trap | FaultKind::Kill, _) => Expected::Gone,
    }
}

impl Expected {
    fn allows(&self, error: &ConnectorError) -> bool {
        use ErrorCategory::{TransientDb, TransientNetwork};
        match self {
            Expected::Success => false,
            Expected::Transient => {
                matches!(error.category, TransientNetwork | TransientDb) && error.retryable
            }
            Expected::TransientOrInternal => {
                let internal = Expected::Category(ErrorCategory::Internal);
                Expected::Transient.allows(error) || internal.allows(error)
            }
            Expected::Category(category) => error.category == *category && !error.retryable,
            Expected::Gone => matches!(error.code.as_str(), "guest_trapped" | "killed"),
        }
    }

    fn words(&self) -> String {
        match self {
            Expected::Success => "success: a slow or short call is no failure".to_owned(),
            Expected::Transient => "a retryable `transient-network` or `transient-db` error".to_owned(),
            Expected::TransientOrInternal => {
                "a retryable `transient-network` error, or an `internal` one that is not".to_owned()
            }
            Expected::Category(category) => format!("the host's own `{category}` error, not retryable"),
            Expected::Gone => "the host's word that it was ended".to_owned(),
        }
    }
}

/// Whether an error is one of those that the faults that struck can have. No error is always well: what came of the work
/// is judged by itself.
pub(super) fn judge(struck: &[Fault], error: Option<&ConnectorError>) -> Check {
    let Some(error) = error else { return Ok(()) };
    if struck.iter().any(|fault| expected(fault).allows(error)) {
        return Ok(());
    }
    if error.code == "guest_trapped" {
        return mismatch("it traps instead of answering with an error", "an error, or success", said(error));
    }
    // The last one that can end a run is what an author will look for.
    let telling = struck.iter().rev().map(expected);
    let told = telling.into_iter().max_by_key(|expected| !matches!(expected, Expected::Success));
    let told = told.map_or("success: nothing went wrong".to_owned(), |expected| expected.words());
    mismatch("the error says something else than what went wrong", told, said(error))
}

/// Whether what an error says of the commit is what can be seen of it.
pub(super) fn commit_state(error: Option<&ConnectorError>, committed: usize, confirmed: usize) -> Check {
    let Some(error) = error.filter(|error| !Expected::Gone.allows(error)) else { return Ok(()) };
    let seen =
        format!("rows of {committed} checkpoints are visible, {confirmed} were reported; {}", said(error));
    match error.commit {
        Some(CommitState::BeforeCommit) | None if committed > confirmed => mismatch(
            "the error does not say that a commit took place",
            "`commit` is `after-commit-confirmed`, or `after-commit-unknown`",
            seen,
        ),
        Some(CommitState::AfterCommitConfirmed) if committed == 0 => {
            mismatch("the error says that a commit took place", "`commit` is `before-commit`", seen)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_to_be_what_one_of_the_faults_makes() {
        let fault = |text: &str| {
            let plan = text.split(',').map(|text| {
                let (place, kind) = text.split_once('=').unwrap();
                let kind = match kind {
                    "reset" => FaultKind::Reset,
                    "refuse" => FaultKind::Refuse,
                    "kill" => FaultKind::Kill,
                    _ => FaultKind::Delay { ms: 1 },
                };
                Fault::new(Import::parse(place).unwrap(), 1, kind).unwrap()
            });
            plan.collect::<Vec<_>>()
        };
        let lost = ConnectorError::new(ErrorCategory::TransientNetwork, "connection_reset", "lost");
        let refused = ConnectorError::new(ErrorCategory::Permission, "refused", "refused");
        assert!(judge(&fault("tcp-read=reset"), Some(&lost)).is_ok());
        assert!(judge(&fault("tcp-read=refuse"), Some(&refused)).is_ok());
        assert!(judge(&fault("tcp-read=refuse"), Some(&lost)).is_err(), "a retry cannot mend it");
        assert!(judge(&fault("wait=delay,tcp-read=refuse"), Some(&refused)).is_ok());
        assert!(judge(&fault("wait=delay"), Some(&lost)).is_err(), "slow is no failure");
        assert!(judge(&[], Some(&lost)).is_err());
        assert!(judge(&fault("tcp-read=reset"), None).is_ok());
        let panicked = ConnectorError::internal("guest_trapped", "unwrap on an error");
        assert!(judge(&fault("tcp-read=reset"), Some(&panicked)).is_err());
        assert!(judge(&fault("tcp-read=kill"), Some(&ConnectorError::internal("killed", ""))).is_ok());
    }
}
