//! Promises of every role.

pub mod cancellation_prompt;
pub mod capabilities_agree;
pub mod close_twice;
pub mod config_missing_key;
pub mod config_unknown_key;
pub mod config_valid;
pub mod config_wrong_type;
pub mod faults_combined;
pub mod faults_each_import;
pub mod grants_respected;
pub mod identity_agrees;
pub mod imports_agree;
pub mod memory_limit;
pub mod run_after_close;
pub mod secrets_marked;
pub mod secrets_unspoken;
pub mod survives_odd_input;
pub mod time_limit;
pub mod two_sessions;
pub mod validate_honest;
