//! Both backends of the state through their port: the same behaviours on SQLite and on a real PostgreSQL server, then what
//! only a server can do to its clients.

mod behaviours;
mod letters;
mod moves;
mod others;
mod server;
mod support;
mod tls;

/// Each behaviour as a test of each backend.
macro_rules! on_both {
    ($($module:ident :: $name:ident,)*) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    crate::$module::$name(&crate::support::Backend::sqlite()).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test]
                async fn $name() {
                    crate::$module::$name(&crate::support::Backend::postgres()).await;
                }
            )*
        }
    };
}

on_both! {
    behaviours::every_cursor_type_comes_back_as_it_was,
    behaviours::a_checkpoint_must_be_newer,
    behaviours::checkpoints_are_kept_within_bounds,
    behaviours::one_run_of_a_stream_at_a_time,
    behaviours::of_many_at_once_exactly_one_wins,
    behaviours::a_run_finishes_once_and_with_a_final_status,
    behaviours::a_reset_outweighs_every_receipt_there_can_be,
    behaviours::positions_are_the_newest_of_each_task,
    behaviours::connector_state_swaps_only_what_it_expects,
    behaviours::history_is_filtered,
    letters::settled_by_the_checkpoint_that_covers_them,
    letters::resolved_at_the_start_of_a_task,
    letters::numbered_in_the_order_of_settlement,
    letters::counted_listed_and_forgotten,
    letters::a_reset_drops_what_is_pending,
    letters::only_whoever_runs_the_stream_may_touch_them,
    moves::a_state_survives_its_document,
    moves::a_document_that_is_cut_off_changes_nothing,
    moves::what_is_not_a_document_is_refused_by_line,
    moves::nothing_is_overwritten_unasked,
    moves::both_backends_are_migrated_to_each_other,
    moves::nothing_moves_while_something_runs,
    moves::an_export_shows_what_runs_as_crashed,
}
