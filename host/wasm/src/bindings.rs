//! The contract as Wasmtime sees it, generated from `wit/`. Only `imports`, `convert` and `instance` look in here.
//!
//! Exports are not bound: the three roles export the same four functions under three names, so `instance` looks them up
//! itself.

use crate::imports::Fault;

wasmtime::component::bindgen!({
    world: "rapidbyte-host",
    path: "../../wit",
    imports: {
        "rapidbyte:connector/host-io.batch-emit": async | trappable,
        "rapidbyte:connector/host-io.batch-next": async | trappable,
        "rapidbyte:connector/host-io.wait": async | trappable,
        "rapidbyte:connector/host-io.tcp-connect": async | trappable,
        "rapidbyte:connector/host-io.tcp-start-tls": async | trappable,
        "rapidbyte:connector/host-io.tcp-read": async | trappable,
        "rapidbyte:connector/host-io.tcp-write": async | trappable,
        "rapidbyte:connector/host-io.tcp-close": async | trappable,
        "rapidbyte:connector/host-io.state-get": async | trappable,
        "rapidbyte:connector/host-io.state-put": async | trappable,
        "rapidbyte:connector/host-io.state-compare-and-swap": async | trappable,
        "rapidbyte:connector/host-io.telemetry-checkpoint": async | trappable,
        "rapidbyte:connector/host-io.telemetry-dlq": async | trappable,
        default: trappable,
    },
    trappable_error_type: {
        "rapidbyte:connector/core-types.connector-error" => Fault,
    },
    with: {
        "rapidbyte:connector/host-io.frame": crate::imports::HeldFrame,
        "rapidbyte:connector/host-io.socket": crate::network::Socket,
    },
    require_store_data_send: true,
});

pub use rapidbyte::connector::{core_types, host_io, stream_types, telemetry};
