//! The profile of a run: what every stage of every task did with its time, and which one held the run back.
//!
//! A stage's time is divided in four: waiting for the stage before it, for the one behind it, for a system outside of the
//! pipeline, and the rest, in which it computed (or waited for a core). Plain data with how it is computed; refuses to
//! know who shows it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::channel::Flow;
use crate::contract::words;
use crate::limits::{TIMELINE_BUCKET_NS_FIRST, TIMELINE_BUCKETS};
use crate::ports::TaskKey;
use crate::waiting::Timeline;

words!(
    /// What a stage is.
    StageKind {
        Source => "source", Host => "host", Transform => "transform", Destination => "destination",
    }
);

/// A share below this is not worth a sentence of its own, in percent.
const SHARE_WORTH_SAYING: u64 = 50;

/// What a run did with its time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunProfile {
    pub wall_ms: u64,
    /// What held the run back, as one sentence.
    pub held_back_by: String,
    /// Those that began, in the order of the plan.
    pub tasks: Vec<TaskProfile>,
}

/// One stream, or one partition of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProfile {
    pub key: TaskKey,
    /// From the start of the run to that of the task.
    pub started_ms: u64,
    pub wall_ms: u64,
    /// The part of it before the source was asked to read: claiming, opening, preparing.
    pub preparing_ms: u64,
    /// Width of a bucket of the stages' timelines, in microseconds.
    pub bucket_us: u64,
    /// In the order in which data passes them.
    pub stages: Vec<StageProfile>,
}

/// One stage of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageProfile {
    pub kind: StageKind,
    /// The connector with its version; `host` for the host's own work between two of them.
    pub name: String,
    /// From the start of the task to when the stage was asked to run.
    pub started_ms: u64,
    pub wall_ms: u64,
    pub busy_ms: u64,
    pub waiting_for_input_ms: u64,
    pub waiting_for_output_ms: u64,
    /// For its database or server.
    pub waiting_for_remote_ms: u64,
    /// What a source gave, and what another stage was given.
    pub records: u64,
    pub bytes: u64,
    /// Since the start of the task.
    pub timeline: Vec<Moment>,
}

/// What a stage did within one bucket of time, each in per mille of the bucket. What is missing to 1,000 lies before its
/// start or behind its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    pub busy: u16,
    pub input: u16,
    pub output: u16,
    pub remote: u16,
}

/// What was measured of one stage.
#[derive(Debug, Clone)]
pub struct StageTimes {
    pub kind: StageKind,
    pub name: String,
    pub began: Instant,
    pub ended: Instant,
    pub flow: Flow,
    pub input: Option<Timeline>,
    pub output: Option<Timeline>,
    pub remote: Option<Timeline>,
}

impl RunProfile {
    /// Of a run that began at `began` and of its tasks, each with when it began.
    pub fn new(began: Instant, wall: Duration, tasks: Vec<(Instant, TaskProfile)>) -> Self {
        let wall_ms = milliseconds(wall);
        let started = |at: Instant| milliseconds(at.saturating_duration_since(began));
        let tasks: Vec<TaskProfile> =
            tasks.into_iter().map(|(at, task)| TaskProfile { started_ms: started(at), ..task }).collect();
        RunProfile { wall_ms, held_back_by: held_back_by(wall_ms, &tasks), tasks }
    }
}

impl TaskProfile {
    /// What was measured between `began` and `ended`.
    pub fn new(key: TaskKey, began: Instant, ended: Instant, stages: &[StageTimes]) -> Self {
        let wall = ended.saturating_duration_since(began);
        let width = bucket_width(wall);
        let reading = stages.iter().find(|stage| stage.kind == StageKind::Source);
        let preparing = reading.map_or(wall, |source| source.began.saturating_duration_since(began));
        TaskProfile {
            key,
            started_ms: 0,
            wall_ms: milliseconds(wall),
            preparing_ms: milliseconds(preparing),
            bucket_us: u64::try_from(width.as_micros()).unwrap_or(u64::MAX),
            stages: stages.iter().map(|stage| StageProfile::new(stage, began, wall, width)).collect(),
        }
    }
}

impl StageProfile {
    fn new(times: &StageTimes, task_began: Instant, task_wall: Duration, width: Duration) -> Self {
        let wall = times.ended.saturating_duration_since(times.began);
        let spent = Spent::within(times, times.began, times.ended);
        let buckets = u32::try_from(task_wall.as_nanos().div_ceil(width.as_nanos().max(1))).unwrap_or(0);
        let timeline = (0..buckets.min(TIMELINE_BUCKETS as u32))
            .map(|bucket| {
                let start = task_began + width * bucket;
                let from = start.max(times.began);
                let to = (start + width).min(times.ended);
                Spent::within(times, from, to.max(from)).moment(width)
            })
            .collect();
        StageProfile {
            kind: times.kind,
            name: times.name.clone(),
            started_ms: milliseconds(times.began.saturating_duration_since(task_began)),
            wall_ms: milliseconds(wall),
            busy_ms: milliseconds(spent.busy),
            waiting_for_input_ms: milliseconds(spent.input),
            waiting_for_output_ms: milliseconds(spent.output),
            waiting_for_remote_ms: milliseconds(spent.remote),
            records: times.flow.records,
            bytes: times.flow.bytes,
            timeline,
        }
    }
}

/// A span of a stage's time, divided.
struct Spent {
    busy: Duration,
    input: Duration,
    output: Duration,
    remote: Duration,
}

impl Spent {
    fn within(times: &StageTimes, from: Instant, to: Instant) -> Self {
        let mut left = to.saturating_duration_since(from);
        // Two waits may overlap; together they are never longer than the span.
        let mut take = |timeline: &Option<Timeline>| {
            let waited = timeline.as_ref().map_or(Duration::ZERO, |waits| waits.within(from, to)).min(left);
            left -= waited;
            waited
        };
        let (input, output, remote) = (take(&times.input), take(&times.output), take(&times.remote));
        Spent { busy: left, input, output, remote }
    }

    fn moment(&self, width: Duration) -> Moment {
        let width = width.as_nanos().max(1);
        // Cut, not rounded, so that the four are never more than the bucket.
        let share = |part: Duration| u16::try_from(part.as_nanos() * 1000 / width).unwrap_or(1000);
        Moment {
            busy: share(self.busy),
            input: share(self.input),
            output: share(self.output),
            remote: share(self.remote),
        }
    }
}

/// The width at which a span fits into a timeline.
fn bucket_width(wall: Duration) -> Duration {
    let mut width = Duration::from_nanos(TIMELINE_BUCKET_NS_FIRST);
    while width * (TIMELINE_BUCKETS as u32) < wall && width < Duration::from_secs(1 << 20) {
        width *= 2;
    }
    width
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What the stages of one connector did in all tasks.
#[derive(Default)]
struct Sum {
    wall_ms: u64,
    busy_ms: u64,
    remote_ms: u64,
}

/// Which stage held a run back, as one sentence: the one that worked or waited for its own server the longest, while the
/// others waited for it.
pub fn held_back_by(wall_ms: u64, tasks: &[TaskProfile]) -> String {
    let mut sums: BTreeMap<(StageKind, &str), Sum> = BTreeMap::new();
    let (mut task_ms, mut preparing_ms) = (0, 0);
    for task in tasks {
        task_ms += task.wall_ms;
        preparing_ms += task.preparing_ms;
        for stage in &task.stages {
            let sum = sums.entry((stage.kind, &stage.name)).or_default();
            sum.wall_ms += stage.wall_ms;
            sum.busy_ms += stage.busy_ms;
            sum.remote_ms += stage.waiting_for_remote_ms;
        }
    }
    // Work in all tasks against the wall of one: before anything ran, a run with no tasks has nothing to say either.
    let Some(((kind, name), sum)) = sums.iter().max_by_key(|(_, sum)| sum.busy_ms + sum.remote_ms) else {
        return "no stream was moved".to_owned();
    };
    if percent(preparing_ms, task_ms) >= SHARE_WORTH_SAYING {
        return format!(
            "getting ready held it back: opening connectors and preparing tables took {}% of the time",
            percent(preparing_ms, task_ms)
        );
    }
    let longest_ms = tasks.iter().map(|task| task.started_ms + task.wall_ms).max().unwrap_or(0);
    if percent(wall_ms.saturating_sub(longest_ms), wall_ms) >= SHARE_WORTH_SAYING {
        return format!(
            "nothing inside a stream held it back: {} of {} ms lie outside of them",
            wall_ms - longest_ms,
            wall_ms
        );
    }
    let own_ms = sum.busy_ms + sum.remote_ms;
    if percent(own_ms, sum.wall_ms) < SHARE_WORTH_SAYING {
        return format!(
            "no stage held it back alone: the fullest, {} `{name}`, was occupied {}% of its time",
            kind.as_str(),
            percent(own_ms, sum.wall_ms)
        );
    }
    let what = match kind {
        StageKind::Host => "the host's own work between connectors".to_owned(),
        StageKind::Source | StageKind::Transform | StageKind::Destination => {
            format!("{} `{name}`", kind.as_str())
        }
    };
    let how = if sum.remote_ms > sum.busy_ms {
        format!("it waited for its server {}% of the time", percent(sum.remote_ms, sum.wall_ms))
    } else {
        format!("it computed {}% of the time", percent(sum.busy_ms, sum.wall_ms))
    };
    format!("{what} held it back: {how}")
}

/// Rounded down; of nothing it is nothing.
fn percent(part: u64, whole: u64) -> u64 {
    (u128::from(part) * 100).checked_div(u128::from(whole)).unwrap_or(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TaskKey {
        TaskKey { pipeline: "p".into(), stream: "s".into(), partition: 0 }
    }

    fn stage(kind: StageKind, name: &str, busy: u64, input: u64, output: u64, remote: u64) -> StageProfile {
        StageProfile {
            kind,
            name: name.into(),
            started_ms: 0,
            wall_ms: busy + input + output + remote,
            busy_ms: busy,
            waiting_for_input_ms: input,
            waiting_for_output_ms: output,
            waiting_for_remote_ms: remote,
            records: 0,
            bytes: 0,
            timeline: Vec::new(),
        }
    }

    fn task(preparing_ms: u64, stages: Vec<StageProfile>) -> TaskProfile {
        TaskProfile { key: key(), started_ms: 0, wall_ms: 1000, preparing_ms, bucket_us: 15_625, stages }
    }

    fn verdict(tasks: &[TaskProfile]) -> String {
        held_back_by(1000, tasks)
    }

    #[test]
    fn names_the_stage_that_the_others_waited_for() {
        use StageKind::*;
        let stages = |destination_busy, destination_remote| {
            let input = 1000 - destination_busy - destination_remote;
            vec![
                stage(Source, "source-x@1.0.0", 200, 0, 700, 100),
                stage(Host, "host", 10, 490, 500, 0),
                stage(Destination, "dest-y@1.0.0", destination_busy, input, 0, destination_remote),
            ]
        };
        assert_eq!(
            verdict(&[task(10, stages(800, 100))]),
            "destination `dest-y@1.0.0` held it back: it computed 80% of the time"
        );
        assert_eq!(
            verdict(&[task(10, stages(100, 800))]),
            "destination `dest-y@1.0.0` held it back: it waited for its server 80% of the time"
        );
        assert_eq!(
            verdict(&[task(10, stages(50, 50))]),
            "no stage held it back alone: the fullest, source `source-x@1.0.0`, was occupied 30% of its time"
        );
        assert_eq!(
            verdict(&[task(600, stages(800, 100))]),
            "getting ready held it back: opening connectors and preparing tables took 60% of the time"
        );
        assert_eq!(
            verdict(&[task(10, vec![stage(Host, "host", 900, 50, 50, 0)])]),
            "the host's own work between connectors held it back: it computed 90% of the time"
        );
        assert_eq!(
            held_back_by(4000, &[task(10, stages(800, 100))]),
            "nothing inside a stream held it back: 3000 of 4000 ms lie outside of them"
        );
    }

    #[test]
    fn adds_a_connector_up_over_its_tasks() {
        use StageKind::*;
        let one = task(0, vec![stage(Source, "a", 510, 0, 490, 0), stage(Destination, "b", 600, 400, 0, 0)]);
        let two = task(0, vec![stage(Source, "a", 900, 0, 100, 0), stage(Destination, "b", 100, 900, 0, 0)]);
        assert_eq!(verdict(&[one, two]), "source `a` held it back: it computed 70% of the time");
    }

    #[test]
    fn has_a_word_for_a_run_without_streams_or_time() {
        assert_eq!(verdict(&[]), "no stream was moved");
        assert_eq!(held_back_by(0, &[task(0, Vec::new())]), "no stream was moved");
        let nothing = TaskProfile { wall_ms: 0, ..task(0, vec![stage(StageKind::Source, "a", 0, 0, 0, 0)]) };
        assert!(held_back_by(0, &[nothing]).contains("0%"));
    }

    #[test]
    fn divides_a_stages_time_and_draws_it() {
        let width = Duration::from_nanos(TIMELINE_BUCKET_NS_FIRST);
        let began = Instant::now();
        let mut input = Timeline::new(began);
        input.add(began + width, began + width * 2);
        // Half of this lies in the time that waiting for input takes already.
        let mut remote = Timeline::new(began);
        remote.add(began + width, began + width * 3);
        let times = StageTimes {
            kind: StageKind::Destination,
            name: "d".into(),
            began: began + width,
            ended: began + width * 4,
            flow: Flow { records: 7, bytes: 70 },
            input: Some(input),
            output: None,
            remote: Some(remote),
        };
        let source = StageTimes {
            kind: StageKind::Source,
            name: "s".into(),
            began: began + width / 2,
            ended: began + width * 4,
            input: None,
            remote: None,
            ..times.clone()
        };
        let profile = TaskProfile::new(key(), began, began + width * 4, &[source, times]);
        assert_eq!((profile.preparing_ms, profile.bucket_us), (7, 15_625));
        let [source, destination] = profile.stages.as_slice() else { panic!("two stages") };
        let busy = |busy| Moment { busy, ..Moment::default() };
        assert_eq!(source.timeline, [busy(500), busy(1000), busy(1000), busy(1000)]);
        assert_eq!((destination.wall_ms, destination.waiting_for_input_ms), (46, 15));
        assert_eq!(destination.timeline[0], Moment::default(), "it had not begun");
        assert_eq!(destination.timeline[1], Moment { input: 1000, ..Moment::default() });
        assert_eq!(destination.timeline[2], Moment { remote: 1000, ..Moment::default() });
        assert_eq!(destination.timeline[3], busy(1000));
        // Over the whole span an overlap cannot be told apart: the sum still is the span.
        let parts =
            destination.busy_ms + destination.waiting_for_input_ms + destination.waiting_for_remote_ms;
        assert!((parts..parts + 3).contains(&destination.wall_ms), "{destination:?}");
    }

    #[test]
    fn a_profile_of_any_length_has_as_many_buckets() {
        let began = Instant::now();
        for seconds in [0, 1, 2, 3, 60, 3_600, 1_000_000] {
            let ended = began + Duration::from_secs(seconds);
            let times = StageTimes {
                kind: StageKind::Source,
                name: "s".into(),
                began,
                ended,
                flow: Flow::default(),
                input: None,
                output: None,
                remote: None,
            };
            let profile = TaskProfile::new(key(), began, ended, &[times]);
            let buckets = profile.stages[0].timeline.len();
            assert!(buckets <= TIMELINE_BUCKETS, "{seconds} s: {buckets}");
            assert!(seconds <= 2 || buckets > TIMELINE_BUCKETS / 2 - 1, "{seconds} s: {buckets}");
        }
    }

    #[test]
    fn survives_json() {
        let began = Instant::now();
        let of_task = task(3, vec![stage(StageKind::Source, "a", 1, 2, 3, 4)]);
        let profile =
            RunProfile::new(began, Duration::from_secs(1), vec![(began + Duration::from_millis(5), of_task)]);
        assert_eq!(profile.tasks[0].started_ms, 5);
        let json = serde_json::to_string(&profile).unwrap();
        assert_eq!(serde_json::from_str::<RunProfile>(&json).unwrap(), profile);
    }
}
