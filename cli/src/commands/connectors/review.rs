//! What packages may reach, shown, and the yes to it: on the terminal or by `--yes`, and by nothing else.

use anyhow::Result;
use rapidbyte_host::Host;
use rapidbyte_host::install::{Approved, Candidate, Plan};

use crate::asking;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::quantity::{Bytes, plural};
use crate::report::Failure;

/// Shows what is new in a plan and asks for a yes.
pub fn review(host: &Host, plan: Plan, yes: bool, printer: &Printer) -> Result<Approved> {
    let count = plan.to_review().count();
    if count == 0 {
        return Ok(plan.approve());
    }
    if !(yes && printer.quiet()) {
        for candidate in plan.to_review() {
            printer.write_error(&describe(host, candidate)?);
        }
    }
    if yes {
        return Ok(plan.approve());
    }
    if !asking::can_ask() {
        return Err(Failure::new(
            Exit::Refused,
            "capabilities_not_reviewed",
            format!("nobody has agreed to what {} may reach", plural(count as u64, "package")),
        )
        .hint("say `--yes` if it is right; there is no terminal to ask on")
        .into());
    }
    let these = if count == 1 { "this" } else { "these" };
    match asking::confirm(&format!("Install {these}?"))? {
        true => Ok(plan.approve()),
        false => Err(Failure::new(Exit::Refused, "capabilities_refused", "nothing was installed").into()),
    }
}

/// `      Review source-jira@1.2.0 from acme (6.2 MB)`, and below what it may reach.
fn describe(host: &Host, candidate: &Candidate) -> Result<String> {
    let manifest = &candidate.described.manifest;
    let registry = host.installer()?.registries.shown(&candidate.source);
    let size = Bytes(candidate.described.layer.size);
    let mut text = format!("{:>12} {} from {registry} ({size})\n", "Review", candidate.id());
    let mut line = |words: String| text.push_str(&format!("{:13}{words}\n", ""));
    line(format!("{}: {}", manifest.role, manifest.description));
    line(candidate.signature());
    let mut reaches = candidate.described.capabilities.iter().peekable();
    match reaches.peek() {
        None => line("reaches nothing outside of its sandbox".to_owned()),
        Some(_) => line("may reach:".to_owned()),
    }
    let before = candidate.before.as_ref();
    for capability in reaches {
        let is_new =
            before.is_some_and(|before| !before.capabilities.iter().any(|known| known == capability));
        line(format!("  {capability}{}", if is_new { " (new)" } else { "" }));
    }
    for oddity in candidate.oddities() {
        line(format!("unusual: {oddity}"));
    }
    Ok(text)
}
