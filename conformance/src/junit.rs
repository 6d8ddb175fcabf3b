//! The report as JUnit XML, as CI systems read it.

use std::fmt::Write;

use crate::report::{Outcome, Report, Verdict};

/// The document.
pub fn junit(report: &Report) -> String {
    let [_, failed, not_applicable, exempt] = report.counts();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a text cannot fail.
    let _ = writeln!(
        xml,
        "<testsuites><testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" errors=\"0\" skipped=\"{}\" \
         time=\"{:.3}\" timestamp=\"{}\">",
        escape(&format!("conformance of {}", report.connector)),
        report.outcomes.len(),
        not_applicable + exempt,
        report.seconds,
        escape(&report.started_at),
    );
    let properties = [
        ("digest", report.digest.clone()),
        ("suite_version", report.suite_version.to_owned()),
        ("seed", report.seed.to_string()),
        ("network", report.network.to_owned()),
    ];
    xml.push_str("  <properties>\n");
    for (name, value) in properties {
        let _ = writeln!(xml, "    <property name=\"{name}\" value=\"{}\"/>", escape(&value));
    }
    xml.push_str("  </properties>\n");
    for outcome in &report.outcomes {
        let _ = write!(
            xml,
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            escape(&report.connector),
            outcome.clause,
            outcome.seconds
        );
        let _ = match &outcome.verdict {
            Verdict::Passed => writeln!(xml, "/>"),
            Verdict::Failed(message) => writeln!(
                xml,
                ">\n    <failure type=\"{}\" message=\"{}\">{}</failure>\n  </testcase>",
                outcome.severity.word(),
                escape(message),
                escape(&details(outcome))
            ),
            Verdict::NotApplicable(reason) | Verdict::Exempt(reason) => {
                let message = escape(&format!("{}: {reason}", outcome.verdict.word()));
                writeln!(xml, ">\n    <skipped message=\"{message}\"/>\n  </testcase>")
            }
        };
    }
    xml.push_str("</testsuite></testsuites>\n");
    xml
}

/// What an author needs besides the message.
fn details(outcome: &Outcome) -> String {
    let parts = [
        ("expected", outcome.expected.as_deref()),
        ("found", outcome.found.as_deref()),
        ("hint", outcome.hint),
    ];
    let lines = parts.into_iter().filter_map(|(word, text)| Some(format!("{word}: {}", text?)));
    lines.collect::<Vec<_>>().join("\n")
}

/// What XML 1.0 cannot hold at all becomes the replacement character.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clause::Severity;
    use crate::report::Outcome;

    #[test]
    fn what_a_connector_says_cannot_break_the_document() {
        let outcome = |verdict| Outcome {
            clause: "a",
            severity: Severity::Error,
            verdict,
            expected: None,
            found: None,
            hint: None,
            seconds: 0.0,
        };
        let report = Report {
            connector: "c@1".into(),
            role: "source",
            component: "c.wasm".into(),
            digest: "00".into(),
            suite_version: "1",
            seed: 7,
            network: "live",
            partial: false,
            passed: false,
            started_at: "2024-01-01T00:00:00Z".into(),
            seconds: 0.5,
            outcomes: vec![
                outcome(Verdict::Failed("</failure> & \"\u{1b}\"".into())),
                outcome(Verdict::Passed),
            ],
        };
        let xml = junit(&report);
        assert!(xml.contains("message=\"&lt;/failure&gt; &amp; &quot;\u{fffd}&quot;\""), "{xml}");
        assert!(xml.contains("tests=\"2\" failures=\"1\"") && xml.contains("name=\"seed\" value=\"7\""));
    }
}
