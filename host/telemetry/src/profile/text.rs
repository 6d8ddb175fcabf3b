//! The profile as a table with one sentence above it.

use std::fmt::Write;

use rapidbyte_core::profile::RunProfile;

use super::{PARTS, bytes, count, elapsed, longest, name, percent, stage_name};

/// The profile as lines of text, without colours.
pub fn text(profile: &RunProfile) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{} in all: {}", elapsed(profile.wall_ms), profile.held_back_by);
    let (tasks, left_out) = longest(profile);
    let header = || {
        let parts = PARTS.iter().map(|part| part.word.to_owned());
        ["stage".to_owned()].into_iter().chain(parts).chain(["rows".to_owned(), "bytes".to_owned()]).collect()
    };
    for task in tasks {
        let _ = writeln!(
            out,
            "\n{}: {}, {} of it getting ready",
            name(profile, &task.key),
            elapsed(task.wall_ms),
            elapsed(task.preparing_ms)
        );
        let mut rows: Vec<Vec<String>> = vec![header()];
        for stage in &task.stages {
            let parts = PARTS.iter().map(|part| {
                let ms = (part.of)(stage);
                format!("{} {:>3}%", elapsed(ms), percent(ms, stage.wall_ms))
            });
            let moved = [count(stage.records), bytes(stage.bytes)];
            rows.push([stage_name(stage)].into_iter().chain(parts).chain(moved).collect());
        }
        table(&mut out, &rows);
    }
    if left_out > 0 {
        let _ = writeln!(out, "\nand {left_out} shorter ones");
    }
    out
}

/// Columns as wide as their widest cell; the first to the left, the others to the right.
fn table(out: &mut String, rows: &[Vec<String>]) {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        out.push_str("  ");
        for (column, cell) in row.iter().enumerate() {
            let _ = match column {
                0 => write!(out, "{cell:<0$}", widths[0]),
                _ => write!(out, "  {cell:>0$}", widths[column]),
            };
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn shows_each_stage_and_what_held_it_back() {
        insta::assert_snapshot!(text(&fixture::profile()));
    }

    #[test]
    fn counts_what_it_does_not_show() {
        let mut profile = fixture::profile();
        let task = profile.tasks[0].clone();
        profile.tasks = vec![task; 100];
        let text = text(&profile);
        assert!(text.ends_with("and 76 shorter ones\n"), "{text}");
        assert_eq!(text.matches("getting ready").count(), 24);
    }

    #[test]
    fn has_a_sentence_for_a_run_of_nothing() {
        let nothing =
            RunProfile::new(std::time::Instant::now(), std::time::Duration::from_millis(3), Vec::new());
        assert_eq!(text(&nothing), "3 ms in all: no stream was moved\n");
    }
}
