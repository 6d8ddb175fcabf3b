//! Guests that compute, sleep, grow or fall over.

use super::*;

#[test]
pub fn endless_loop() {
    let mut rig = Rig::source("endless_loop");
    rig.idle_timeout = IDLE;
    let (error, _) = fails_with(rig, "idle_timeout");
    assert_eq!(error.category, ErrorCategory::Internal);
    assert!(!error.retryable);
}

#[test]
pub fn endless_loop_stops_when_its_call_is_dropped_and_is_poisoned() {
    block_on(async {
        let mut rig = Rig::source("endless_loop");
        let mut started = rig.start().await;
        started.open().await.unwrap();
        let call = started.instance.run(started.request.clone());
        assert!(tokio::time::timeout(IDLE, call).await.is_err());
        let error = started.instance.run(started.request.clone()).await.unwrap_err();
        assert_eq!(error.code, "instance_poisoned");
        assert_eq!(started.instance.close().await.unwrap_err().code, "instance_poisoned");
        the_host_lives(&rig.engine).await;
    });
}

/// While one guest spins, others on the same single thread get their turn.
#[test]
pub fn endless_loop_does_not_hold_a_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut rig = Rig::source("endless_loop");
        let mut started = rig.start().await;
        started.open().await.unwrap();
        tokio::select! {
            biased;
            _ = started.instance.run(started.request.clone()) => panic!("it ends"),
            () = the_host_lives(&rig.engine) => {}
        }
    });
}

#[test]
pub fn endless_loop_in_open() {
    let mut rig = Rig::source("endless_loop_in_open");
    rig.idle_timeout = IDLE;
    fails_with(rig, "idle_timeout");
}

#[test]
pub fn sleeps_forever() {
    let mut rig = Rig::source("sleeps_forever");
    rig.idle_timeout = IDLE;
    fails_with(rig, "idle_timeout");
}

#[test]
pub fn memory_growth() {
    let mut rig = Rig::source("memory_growth");
    rig.memory_bytes_max = 24 * MIB;
    let (error, outcome) = fails_with(rig, "memory_limit");
    assert!(error.message.contains("its limit is 24 MB"), "{error}");
    assert!(outcome.peak > 20 * MIB && outcome.peak <= 24 * MIB, "{}", outcome.peak);
}

#[test]
pub fn overflows_stack() {
    let (error, _) = fails_with(Rig::source("overflows_stack"), "guest_trapped");
    assert!(error.message.contains("call stack exhausted"), "{error}");
}

#[test]
pub fn traps() {
    let (error, _) = fails_with(Rig::source("traps"), "guest_trapped");
    assert_eq!(error.category, ErrorCategory::Internal);
    assert!(error.message.contains("about to trap"), "the last log line: {error}");
    let details: serde_json::Value = serde_json::from_str(&error.details.unwrap()).unwrap();
    let backtrace = details["backtrace"].as_array().unwrap();
    assert!(backtrace.iter().any(|frame| frame.as_str().unwrap().contains("traps")), "{backtrace:?}");
}

#[test]
pub fn panics() {
    let rig = Rig::source("panics").text("hunter2-secret");
    rig.redactor.register("hunter2-secret");
    let (error, _) = fails_with(rig, "guest_trapped");
    assert!(error.message.contains("the cupboard is bare: ***"), "{error}");
    let details: serde_json::Value = serde_json::from_str(&error.details.unwrap()).unwrap();
    let innermost = details["backtrace"][0].as_str().unwrap();
    assert!(innermost.ends_with("hostile::panics"), "not the machinery of the panic: {innermost}");
}

#[test]
pub fn exits() {
    let (error, _) = fails_with(Rig::source("exits"), "guest_trapped");
    assert!(error.message.contains("exited with status"), "{error}");
}
