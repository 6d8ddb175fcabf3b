//! Every behaviour there is, by name. The guests dispatch on this list and the tests must cover it: a behaviour without a
//! test does not compile. Included by both sides.

/// Hands all hostile behaviours of sources to a macro.
#[macro_export]
macro_rules! hostile_sources {
    ($macro:ident) => {
        $macro! {
            endless_loop, endless_loop_in_open, memory_growth, frame_too_large, call_too_large, aliased_labels,
            frame_mutations, bad_frame, other_schema, forged_frame, forged_socket, used_twice, connect, connect_many,
            read_environment, read_files, write_files, wasi_sockets, leak_secrets, traps, panics, overflows_stack, exits,
            emit_in_open, emit_in_close, commits_as_source, huge_texts, log_flood, output_flood, wait_for_thousands,
            many_frames, metric_flood, state_without_grant, state_too_large, misplaced_dead_letters, garbage_catalog,
            no_catalog, no_plan, too_many_ranges, huge_range, wrong_role_info, wrong_version, sleeps_forever, peer_never_answers, reads_as_source,
            plain_text_before_tls, huge_cursor,
        }
    };
}

/// Hands all hostile behaviours of destinations to a macro.
#[macro_export]
macro_rules! hostile_destinations {
    ($macro:ident) => {
        $macro! { commits_unknown, commits_twice, never_reads, late_receipt, emits_as_destination }
    };
}

/// Hands all honest behaviours of sources to a macro.
#[macro_export]
macro_rules! honest_sources {
    ($macro:ident) => {
        $macro! {
            echo, forged_session, from_json, state, tcp_echo, tcp_download, tls_echo, tls_probe, waits, waits_for_cancel,
            until_cancelled, http_get, try_emit, dead_letters, busy_then_echo, telemetry,
        }
    };
}

/// Hands all honest behaviours of destinations to a macro.
#[macro_export]
macro_rules! honest_destinations {
    ($macro:ident) => {
        $macro! { take_all, try_take_all, to_json, receipt }
    };
}

/// Hands all honest behaviours of transforms to a macro.
#[macro_export]
macro_rules! honest_transforms {
    ($macro:ident) => {
        $macro! { pass_on }
    };
}
