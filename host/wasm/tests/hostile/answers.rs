//! Answers that break the contract.

use super::*;

#[test]
pub fn wait_for_thousands() {
    let (error, _) = fails_with(Rig::source("wait_for_thousands").count(5_000), "guest_trapped");
    assert!(error.message.contains("`wait` with 5000 interests, at most 1024"), "{error}");
}

#[test]
pub fn garbage_catalog() {
    let mut rig = Rig::source("garbage_catalog");
    rig.phase = RunPhase::Discover;
    let (error, _) = fails_with(rig, "catalog_schema");
    assert!(error.message.contains("`orders`"), "{error}");
}

#[test]
pub fn no_catalog() {
    let mut rig = Rig::source("no_catalog");
    rig.phase = RunPhase::Discover;
    fails_with(rig, "contract_violated");
}

fn partitioning(behaviour: &str) -> String {
    let mut rig = Rig::source(behaviour);
    rig.phase = RunPhase::Partition;
    fails_with(rig, "contract_violated").0.message
}

#[test]
pub fn no_plan() {
    let message = partitioning("no_plan");
    assert!(message.contains("no plan"), "{message}");
}

#[test]
pub fn too_many_ranges() {
    let message = partitioning("too_many_ranges");
    assert!(message.contains("2 ranges, at most 1"), "{message}");
}

#[test]
pub fn huge_range() {
    let message = partitioning("huge_range");
    assert!(message.contains("1048576"), "{message}");
}

#[test]
pub fn wrong_role_info() {
    fails_with(Rig::source("wrong_role_info"), "contract_violated");
}

#[test]
pub fn wrong_version() {
    let (error, _) = fails_with(Rig::source("wrong_version"), "contract_violated");
    assert!(error.message.contains("3.9.0"), "{error}");
}
