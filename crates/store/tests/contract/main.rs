//! The contract suite: what every adapter promises, as cases written against the traits and run against each adapter.
//!
//! A new adapter implements [`Fixture`] and gets one line in [`contract!`]'s list of adapters.

mod answers;
mod blobs;
mod concurrent;
mod fixture;
mod journal;
mod keys;
mod leases;
mod limits;
mod model;
mod rows;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "scylla")]
mod scylla;
mod unique;
mod wake;

use fixture::Fixture;

/// One test per case and adapter.
macro_rules! contract {
    ($($group:ident { $($case:ident),* $(,)? })*) => {
        contract!(@adapter memory, fixture::Memory, $($group { $($case),* })*);
        contract!(@adapter sqlite, fixture::Sqlite, $($group { $($case),* })*);
        #[cfg(feature = "scylla")]
        contract!(@adapter cql, scylla::Scylla, $($group { $($case),* })*);
    };
    (@adapter $adapter:ident, $fixture:path, $($group:ident { $($case:ident),* })*) => {
        mod $adapter {
            $(mod $group {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    use crate::*;
                    let mut fixture = <$fixture as Fixture>::open().await;
                    crate::$group::$case(&mut fixture).await;
                })*
            })*
        }
    };
}

contract! {
    journal {
        events_come_back_in_order_without_gaps,
        an_entity_nobody_claimed_is_empty,
        entities_with_shifted_names_are_different,
        another_expected_seq_is_a_conflict,
        a_newer_claim_fences_the_older_one,
        a_later_epoch_refuses_an_earlier_one,
        an_append_without_a_claim_is_fenced,
        a_late_append_has_no_effect_and_the_new_owner_goes_on,
        an_unknown_outcome_is_settled_by_the_append_id,
        a_crash_keeps_every_acknowledged_append,
        a_crash_keeps_the_fence,
        the_newest_snapshot_wins_and_survives,
    }
    wake {
        a_wake_row_is_as_durable_as_its_append,
        a_refused_append_leaves_no_wake_row,
        an_older_epoch_neither_moves_nor_removes_a_newer_row,
        a_shard_shows_only_its_own_rows,
    }
    rows {
        an_older_or_equal_version_never_replaces_a_row,
        a_rebuilt_view_replaces_at_the_same_seq,
        lists_are_newest_first_with_ties_by_id,
        pages_join_without_loss_or_doubles_across_ties,
        from_is_inclusive_and_to_is_exclusive,
        tombstones_leave_lists_and_stay_in_scans,
        lists_and_tenants_are_apart,
        rows_survive_a_crash,
    }
    unique {
        a_value_has_one_owner_until_released,
        fifty_tasks_race_and_one_wins,
        only_the_owner_confirms,
    }
    answers {
        forgotten_answers_leave_their_keys_used,
        the_first_answer_is_kept_and_repeated,
        a_running_request_is_not_run_twice,
        another_body_under_the_same_key_is_told,
        a_run_that_died_is_run_again_as_the_same_request,
        a_released_request_is_run_again_at_once,
        an_answer_expires,
        an_abandoned_request_may_be_tried_again,
        sweeping_drops_expired_and_dead_and_nothing_else,
        a_repeat_under_way_outlives_its_day,
    }
    keys {
        the_first_key_stays,
        a_destroyed_key_stays_destroyed,
        destroying_blanks_the_entity_and_nothing_else,
    }
    leases {
        the_founding_facts_never_change,
        every_boot_has_a_higher_incarnation,
        a_living_node_is_replaced_only_by_who_knows_it_is_gone,
        beats_end_with_death,
        a_node_that_moved_on_is_not_buried,
        a_shard_changes_hands_by_compare_and_set,
        many_shards_change_hands_each_for_itself,
        taking_all_raises_every_epoch,
        a_fact_changes_by_compare_and_set,
    }
    blobs {
        values_come_back_and_go,
        a_folder_lists_what_is_below_it,
        a_name_may_be_both_value_and_folder,
        paths_that_leave_the_folder_are_refused,
    }
    limits {
        too_large_values_are_refused_and_the_largest_are_taken,
        an_append_without_events_or_with_too_many_is_refused,
        numbers_beyond_the_columns_are_refused,
    }
    concurrent {
        many_tasks_on_many_entities_recount_exactly,
        racing_claims_leave_one_writer,
    }
}

// A bucket holds blobs only.
#[cfg(feature = "s3")]
contract! {
    @adapter bucket, s3::Bucket,
    blobs {
        values_come_back_and_go,
        a_folder_lists_what_is_below_it,
        a_name_may_be_both_value_and_folder,
        paths_that_leave_the_folder_are_refused
    }
}
