//! Secrets, floods and monsters of texts.

use super::*;

#[test]
pub fn leak_secrets() {
    let secret = "hunter2\"secret";
    let rig = Rig::source("leak_secrets").text(secret);
    rig.redactor.register(secret);
    let mut ended = None;
    block_on(async { ended = Some(rig.fails().await) });
    let (error, outcome) = ended.unwrap();
    assert_eq!(error.code, "code_***");
    assert_eq!(error.message, "cannot log in with ***");
    assert_eq!(error.details.as_deref(), Some(r#"{"password":"***"}"#));
    let logs = format!("{:?}", outcome.services.logs.lock().unwrap());
    let metrics = format!("{:?}", outcome.services.metrics.lock().unwrap());
    assert!(!logs.contains("hunter2") && logs.contains("stderr has ***"), "{logs}");
    assert!(!metrics.contains("hunter2") && metrics.contains("m.***"), "{metrics}");
}

#[test]
pub fn huge_texts() {
    let mut rig = Rig::source("huge_texts");
    rig.memory_bytes_max = 256 * MIB;
    let mut ended = None;
    block_on(async { ended = Some(rig.fails().await) });
    let (error, outcome) = ended.unwrap();
    assert!(error.message.len() < 10_000 && error.code.len() < 300 && error.details.unwrap().len() < 20_000);
    let logs = outcome.services.logs.lock().unwrap();
    assert!(logs[0].message.len() < 10_000);
    assert_eq!(logs[1].fields.len(), limits::LOG_FIELDS_MAX);
}

#[test]
pub fn log_flood() {
    let (_, outcome) = succeeds(Rig::source("log_flood").count(20_000));
    flood_is_capped(&outcome);
}

#[test]
pub fn output_flood() {
    let (_, outcome) = succeeds(Rig::source("output_flood").count(20_000));
    flood_is_capped(&outcome);
    assert!(outcome.services.messages().iter().all(|line| line.len() < 5_000));
}

/// Whatever the machine's speed: lines and reports of lost lines add up, and a second's worth is capped.
fn flood_is_capped(outcome: &Outcome) {
    let logs = outcome.services.logs.lock().unwrap();
    let mut kept = 0;
    let mut lost = 0;
    for event in logs.iter() {
        match event.fields.first() {
            Some((name, FieldValue::Int(count))) if name == "dropped" => lost += count,
            _ => kept += 1,
        }
    }
    assert!(kept >= 200 && lost > 0, "kept {kept}, lost {lost}");
    assert!((20_000..=20_001).contains(&(kept + lost)), "kept {kept}, lost {lost}");
}

#[test]
pub fn metric_flood() {
    let (_, outcome) = succeeds(Rig::source("metric_flood").count(20_000));
    assert_eq!(outcome.services.metrics.lock().unwrap().len(), rapidbyte_wasm::limits::METRIC_SERIES_MAX);
}

#[test]
pub fn words_without_grants_go_nowhere() {
    for behaviour in ["log_flood", "metric_flood"] {
        let mut rig = Rig::source(behaviour).count(10);
        rig.grants.functions.logging = false;
        rig.grants.functions.metrics = false;
        let (_, outcome) = succeeds(rig);
        assert!(outcome.services.logs.lock().unwrap().is_empty());
        assert!(outcome.services.metrics.lock().unwrap().is_empty());
    }
}
