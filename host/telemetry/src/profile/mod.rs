//! A run's profile for people: [`text`] for a terminal, [`html`] as one page that needs nothing else.
//! Refuses to know: where it is written to.

mod html;
mod text;

pub use html::html;
pub use text::text;

use rapidbyte_core::ports::TaskKey;
use rapidbyte_core::profile::{RunProfile, StageProfile, TaskProfile};

/// Tasks that are shown one by one, the longest ones; a reading in hundreds of partitions has hundreds.
const TASKS_SHOWN_MAX: usize = 24;

/// The four things that a stage does, in the order in which they are shown.
const PARTS: [Part; 4] = [
    Part { word: "busy", long: "computing", of: |stage| stage.busy_ms },
    Part { word: "input", long: "waiting for input", of: |stage| stage.waiting_for_input_ms },
    Part { word: "output", long: "waiting for output", of: |stage| stage.waiting_for_output_ms },
    Part { word: "server", long: "waiting for its server", of: |stage| stage.waiting_for_remote_ms },
];

#[derive(Clone, Copy)]
struct Part {
    word: &'static str,
    long: &'static str,
    of: fn(&StageProfile) -> u64,
}

/// The tasks to show, the longest first, and how many are left out.
fn longest(profile: &RunProfile) -> (Vec<&TaskProfile>, usize) {
    let mut tasks: Vec<&TaskProfile> = profile.tasks.iter().collect();
    tasks.sort_by_key(|task| std::cmp::Reverse(task.wall_ms));
    let left_out = tasks.len().saturating_sub(TASKS_SHOWN_MAX);
    tasks.truncate(TASKS_SHOWN_MAX);
    (tasks, left_out)
}

/// A stream, with its partition where it has several.
fn name(profile: &RunProfile, key: &TaskKey) -> String {
    let several = profile.tasks.iter().filter(|task| task.key.stream == key.stream).count() > 1;
    if several || key.partition > 0 {
        format!("{}, partition {}", key.stream, key.partition)
    } else {
        key.stream.clone()
    }
}

/// `source source-postgres@1.0.0`, `host`.
fn stage_name(stage: &StageProfile) -> String {
    if stage.name == stage.kind.as_str() {
        stage.name.clone()
    } else {
        format!("{} {}", stage.kind.as_str(), stage.name)
    }
}

fn elapsed(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// Rounded; of nothing it is nothing.
fn percent(part: u64, whole: u64) -> u64 {
    (u128::from(part) * 200 + u128::from(whole)).checked_div(u128::from(whole) * 2).unwrap_or(0) as u64
}

/// With a comma between thousands.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod fixture {
    use rapidbyte_core::profile::{Moment, StageKind};
    use std::time::{Duration, Instant};

    use super::*;

    /// A run of two streams, the second one in two partitions, with names that would break a page.
    pub fn profile() -> RunProfile {
        let stage = |kind, name: &str, parts: [u64; 4], moments: &[[u16; 4]]| StageProfile {
            kind,
            name: name.into(),
            started_ms: 50,
            wall_ms: parts.iter().sum(),
            busy_ms: parts[0],
            waiting_for_input_ms: parts[1],
            waiting_for_output_ms: parts[2],
            waiting_for_remote_ms: parts[3],
            records: 1_234_567,
            bytes: 98_765_432,
            timeline: moments
                .iter()
                .map(|[busy, input, output, remote]| Moment {
                    busy: *busy,
                    input: *input,
                    output: *output,
                    remote: *remote,
                })
                .collect(),
        };
        let task = |stream: &str, partition, wall_ms| TaskProfile {
            key: TaskKey { pipeline: "p".into(), stream: stream.into(), partition },
            started_ms: 0,
            wall_ms,
            preparing_ms: 50,
            bucket_us: 500_000,
            stages: vec![
                stage(
                    StageKind::Source,
                    "source-postgres@1.0.0",
                    [300, 0, 500, 150],
                    &[[400, 0, 100, 300], [200, 0, 800, 0]],
                ),
                stage(StageKind::Host, "host", [5, 445, 500, 0], &[[10, 890, 0, 0], [0, 0, 1000, 0]]),
                stage(
                    StageKind::Destination,
                    "dest-postgres@1.0.0",
                    [250, 50, 0, 650],
                    &[[300, 100, 0, 500], [200, 0, 0, 800]],
                ),
            ],
        };
        let began = Instant::now();
        let tasks = [task("orders", 0, 1000), task("<b>&\"evil\"", 0, 900), task("<b>&\"evil\"", 1, 950)];
        let tasks = tasks.into_iter().map(|task| (began + Duration::from_millis(10), task)).collect();
        RunProfile::new(began, Duration::from_millis(1010), tasks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        let elapsed: Vec<String> = [0, 999, 1_000, 59_999, 61_000, 3_700_000].map(elapsed).into();
        assert_eq!(elapsed, ["0 ms", "999 ms", "1.0 s", "59.9 s", "1 min 1 s", "1 h 1 min"]);
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([999, 1_500, 98_765_432].map(bytes), ["999 B", "1.5 KB", "98.8 MB"]);
        assert_eq!(
            [(1, 3), (2, 3), (0, 0), (5, 5)].map(|(part, whole)| percent(part, whole)),
            [33, 67, 0, 100]
        );
    }
}
