//! The guest's executor: it never traps, spins, or sleeps past a timer, whatever the host and the peers do. Spinning is
//! judged by counting calls of `wait`, never by time; upper bounds on time are so generous that only a hang exceeds them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::host::{Sandbox, core_types, telemetry};
use super::peer;

/// Beyond this a timer was overslept, even on a machine that does a hundred things at once.
const LATE_US_MAX: i64 = 30_000_000;

async fn sandbox(port: u16) -> (Sandbox, u64) {
    let mut sandbox = Sandbox::start("executor", "source").await;
    let opened = sandbox.open(&format!(r#"{{ "port": {port} }}"#)).await.unwrap();
    (sandbox, opened.session)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_time_costs_a_handful_of_waits() {
    let (mut sandbox, session) = sandbox(1).await;
    sandbox.scenario(session, "idle").await.unwrap();
    let slept = sandbox.logged("idle", "slept_us");
    assert!((300_000..LATE_US_MAX).contains(&slept), "slept {slept} us");
    // tokio's wheel cascades a timer at most once per level.
    assert!(sandbox.store.data().counts.waits <= 6, "{:?}", sandbox.store.data().counts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_timers_fire_in_order_and_never_early() {
    let (mut sandbox, session) = sandbox(1).await;
    sandbox.scenario(session, "timers").await.unwrap();
    assert_eq!(sandbox.logged("timers", "fired"), 5_000);
    assert_eq!(sandbox.logged("timers", "early"), 0);
    assert!(sandbox.logged("timers", "late_us") < LATE_US_MAX);
    // A millisecond's timers share a wait, so there are fewer waits than timers.
    let counts = sandbox.store.data().counts.clone();
    assert!(counts.waits < 2_500, "{counts:?}");
    assert_eq!(counts.looks, 0, "nobody waits for the host, so nobody needs to look");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_peer_ends_in_a_timeout() {
    let (mut sandbox, session) = sandbox(peer::serve(peer::silent).await).await;
    sandbox.scenario(session, "timeout_on_silence").await.unwrap();
    assert_eq!(sandbox.logged("timeout_on_silence", "timed_out"), 1);
    let after = sandbox.logged("timeout_on_silence", "after_us");
    assert!((120_000..LATE_US_MAX).contains(&after), "after {after} us");
    assert!(sandbox.store.data().counts.waits <= 16, "{:?}", sandbox.store.data().counts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dribbling_peer_is_heard_without_spinning() {
    let (mut sandbox, session) = sandbox(peer::serve(peer::dribbling).await).await;
    sandbox.scenario(session, "dribble").await.unwrap();
    let said = sandbox.logs.lock().unwrap()[0].fields[0].1.clone();
    assert!(matches!(&said, telemetry::FieldValue::Text(text) if text == "hello, slowly"), "{said:?}");
    // Per byte: a wait for it, and a few while the maintenance timer backs off.
    let counts = &sandbox.store.data().counts;
    assert!(counts.waits <= 8 * 13 + 10, "{counts:?}");
    assert!(counts.reads <= 3 * 13 + 6, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_task_answers_questions_in_turn() {
    let (mut sandbox, session) = sandbox(peer::serve(peer::counting).await).await;
    sandbox.scenario(session, "ping_pong").await.unwrap();
    assert_eq!(sandbox.logged("ping_pong", "right"), 500);
    assert_eq!(sandbox.logged("ping_pong", "ended"), 1);
    let counts = &sandbox.store.data().counts;
    assert!(counts.writes <= 500 + 2, "one question, one write: {counts:?}");
    assert!(counts.waits <= 500 * 4, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_writes_are_gathered_and_sent_without_a_flush() {
    let (mut sandbox, session) = sandbox(peer::serve(peer::counting).await).await;
    sandbox.scenario(session, "unflushed").await.unwrap();
    let counts = &sandbox.store.data().counts;
    assert_eq!(counts.writes, 100, "four writes of a byte are one call: {counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sockets_at_once() {
    let (mut sandbox, session) = sandbox(peer::serve(peer::counting).await).await;
    sandbox.scenario(session, "many_sockets").await.unwrap();
    assert_eq!(sandbox.logged("many_sockets", "right"), 50 * 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_task_does_not_starve_a_socket() {
    let (mut sandbox, session) = sandbox(peer::serve(peer::thinking).await).await;
    sandbox.scenario(session, "fairness").await.unwrap();
    assert_eq!(sandbox.logged("fairness", "right"), 20);
    let counts = &sandbox.store.data().counts;
    assert!(sandbox.logged("fairness", "turns") > 20, "{:?} {counts:?}", sandbox.logs);
    assert!(counts.looks >= 1, "a runtime that never parks looks at the host: {counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn megabytes_both_ways_arrive_whole() {
    let (mut sandbox, session) = sandbox(peer::serve(peer::echoing).await).await;
    sandbox.scenario(session, "bulk").await.unwrap();
    assert_eq!(sandbox.logged("bulk", "same"), 1);
    assert_eq!(sandbox.logged("bulk", "written"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spawn_select_and_abort_work() {
    let (mut sandbox, session) = sandbox(1).await;
    sandbox.scenario(session, "spawn_and_select").await.unwrap();
    assert_eq!(sandbox.logged("spawn_and_select", "winner"), 7);
    assert!(sandbox.logged("spawn_and_select", "ticks") >= 1);
    assert_eq!(sandbox.logged("spawn_and_select", "aborted"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocking_sleep_sleeps_to_its_end() {
    let (mut sandbox, session) = sandbox(1).await;
    sandbox.scenario(session, "sleep_blocking").await.unwrap();
    let slept = sandbox.logged("sleep_blocking", "slept_us");
    assert!((50_000..LATE_US_MAX).contains(&slept), "slept {slept} us");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_channel_does_not_stop_other_tasks() {
    let (mut sandbox, session) = sandbox(1).await;
    let room = Arc::new(Semaphore::new(1));
    sandbox.store.data_mut().room = room.clone();
    let consumer = tokio::spawn(async move {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            room.add_permits(1);
        }
    });
    let summary = sandbox.scenario(session, "emit_while_ticking").await.unwrap();
    consumer.await.unwrap();
    let read = summary.read.unwrap();
    assert_eq!((read.records, read.batches, read.checkpoints), (1_000, 10, 1));
    assert!(sandbox.logged("emit_while_ticking", "ticks") >= 10);
    let state = sandbox.store.data();
    assert_eq!(state.emitted.len(), 10);
    assert_eq!(state.checkpoints[0].records, 1_000);
    assert_eq!(state.checkpoints[0].bytes, read.bytes);
    assert_eq!(state.checkpoints[0].id, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancellation_wakes_a_waiting_guest() {
    let (mut sandbox, session) = sandbox(1).await;
    let cancel = sandbox.cancel.clone();
    let asking = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancel.send(true).unwrap();
    });
    sandbox.scenario(session, "until_cancelled").await.unwrap();
    asking.await.unwrap();
    assert_eq!(sandbox.logged("until_cancelled", "before"), 0);
    assert_eq!(sandbox.logged("until_cancelled", "after"), 1);
    assert!(sandbox.store.data().counts.waits <= 16, "{:?}", sandbox.store.data().counts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_ends_both_directions() {
    let (mut sandbox, session) = sandbox(peer::serve(peer::counting).await).await;
    sandbox.scenario(session, "half_closed").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hosts_error_survives_io_error() {
    let (mut sandbox, session) = sandbox(peer::nobody().await).await;
    let error = sandbox.scenario(session, "refused").await.unwrap_err();
    assert_eq!(error.code, "connection_refused");
    assert_eq!(error.category, core_types::ErrorCategory::TransientNetwork);
    assert_eq!((error.retry_after_ms, error.backoff), (Some(7), core_types::BackoffClass::Fast));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_spawned_in_open_live_on() {
    let (mut sandbox, session) = sandbox(1).await;
    sandbox.scenario(session, "background").await.unwrap();
    sandbox.scenario(session, "background").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_instance_survives_every_scenario_in_a_row() {
    let (mut sandbox, session) = sandbox(peer::serve(peer::counting).await).await;
    for name in
        ["timers", "ping_pong", "fairness", "idle", "many_sockets", "unflushed", "timers", "ping_pong"]
    {
        sandbox.scenario(session, name).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_logged_before_it_traps() {
    let (mut sandbox, session) = sandbox(1).await;
    let request = super::host::request("panic", core_types::RunPhase::Read);
    assert!(sandbox.try_run(session, request).await.is_err());
    let logs = sandbox.logs.lock().unwrap();
    assert_eq!(logs[0].message, "the connector panicked: told to by the test");
    assert_eq!(logs[0].level, telemetry::LogLevel::Error);
    assert_eq!(logs[0].fields[0].0, "location");
}
