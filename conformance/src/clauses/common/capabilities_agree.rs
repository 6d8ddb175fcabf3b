//! `capabilities-agree`: The capabilities in `open-info` and the modes in the manifest are the same: the host plans by either.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "capabilities-agree",
    role: None,
    severity: Severity::Error,
    explanation: "The capabilities in `open-info` and the modes in the manifest are the same: the host \
                  plans by either.",
    hint: "Compare `sync_modes` or `write_modes` of `rapidbyte-plugin.yaml` with the `Capabilities` \
                  that `open` returns.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let info = subject.info().await?;
    for mode in SyncMode::ALL {
        let (says, does) = (subject.manifest.sync_modes.contains(mode), info.capabilities.sync_mode(*mode));
        ensure(says == does, || disagree(mode.as_str(), says))?;
    }
    for mode in WriteMode::ALL {
        let (says, does) = (subject.manifest.write_modes.contains(mode), info.capabilities.write_mode(*mode));
        ensure(says == does, || disagree(mode.as_str(), says))?;
    }
    Ok(())
}

fn disagree(mode: &str, manifest_has: bool) -> String {
    match manifest_has {
        true => format!("the manifest declares `{mode}`, `open` does not"),
        false => format!("`open` declares `{mode}`, the manifest does not"),
    }
}
