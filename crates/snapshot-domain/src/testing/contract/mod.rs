//! What every store has to do, as rules: functions whose names are sentences, written once and run against each
//! implementation.
//!
//! [`repository_contract!`](crate::repository_contract) makes one test of each rule. It takes the name of a module to put
//! them in, and a function that makes an empty store, or `None` where there is nothing to make one with (no server, for
//! example): then the test says on standard error that it was skipped.
//!
//! ```
//! use snapshot_domain::{repository_contract, testing::InMemoryStore};
//!
//! repository_contract!(in_memory, || Some(InMemoryStore::default()));
//! # fn main() {}
//! ```

pub mod access;
pub mod adoptions;
pub mod audit;
pub mod captures;
pub mod checks;
pub mod leases;
pub mod maintenance;
pub mod packs;
pub mod quotas;
pub mod receipts;
pub mod restores;
pub mod sizes;
pub mod snapshot_lists;
pub mod snapshots;
pub mod tasks;
pub mod transfers;
pub mod volume_lists;
pub mod volumes;
mod world;

use std::io::Write;

use crate::ports::{
    AuditLog, CheckRepository, MaintenanceQueue, OrganizationRepository, PackRepository, QuotaRepository,
    ReceiptRepository, SnapshotRepository, SnapshotSizes, TaskQueue, TokenRepository, TransferRepository,
    VolumeRepository,
};

/// A store under test: all repositories over the same rows. It may own what has to go away after the test.
pub trait Ports: Sync {
    /// Organizations.
    fn organizations(&self) -> &dyn OrganizationRepository;
    /// Tokens.
    fn tokens(&self) -> &dyn TokenRepository;
    /// Volumes.
    fn volumes(&self) -> &dyn VolumeRepository;
    /// Snapshots.
    fn snapshots(&self) -> &dyn SnapshotRepository;
    /// Tasks.
    fn tasks(&self) -> &dyn TaskQueue;
    /// Packs.
    fn packs(&self) -> &dyn PackRepository;
    /// Quotas.
    fn quotas(&self) -> &dyn QuotaRepository;
    /// The audit trail.
    fn audit(&self) -> &dyn AuditLog;
    /// Offers of snapshots.
    fn transfers(&self) -> &dyn TransferRepository;
    /// Receipts.
    fn receipts(&self) -> &dyn ReceiptRepository;
    /// Results of checks.
    fn checks(&self) -> &dyn CheckRepository;
    /// Runs of maintenance.
    fn maintenance(&self) -> &dyn MaintenanceQueue;
    /// What snapshots take for themselves.
    fn sizes(&self) -> &dyn SnapshotSizes;
}

/// Runs one rule against a store, or says loudly that there is none.
#[doc(hidden)]
pub fn run<P: Ports>(name: &str, store: Option<P>, rule: fn(&dyn Ports)) {
    if let Some(store) = store {
        rule(&store);
    } else {
        // Not by a print macro: the test runner would hide it, and the skip would look like a pass.
        let _ = writeln!(std::io::stderr(), "skipped, there is no store to run it on: {name}");
    }
}

/// Makes a test of each rule of the [contract](crate::testing::contract): `repository_contract!(module, make)`, where
/// `make` is a function that returns an empty store as `Some(impl Ports)`, or `None` when there is none to run on.
#[macro_export]
macro_rules! repository_contract {
    ($module:ident, $make:expr) => {
        mod $module {
            #[allow(unused_imports, reason = "what makes the store may need none of it")]
            use super::*;

            $crate::repository_contract! {
                @rules $make;
                access {
                    keeps_an_organization_as_it_was_stored,
                    lists_organizations_oldest_first_with_ties_by_id,
                    refuses_an_organization_whose_id_is_taken,
                    keeps_a_token_as_it_was_stored,
                    lists_tokens_oldest_first_with_ties_by_id,
                    knows_nobody_by_an_unknown_token,
                    lets_an_account_act_for_the_organizations_of_all_its_tokens,
                    keeps_the_order_of_a_tokens_organizations,
                    keeps_accounts_apart,
                    refuses_a_token_whose_id_or_hash_is_taken,
                    refuses_a_token_for_an_organization_that_is_not_there,
                    keeps_every_role_of_tokens,
                    takes_a_revoked_token_no_longer,
                    takes_an_expired_token_no_longer,
                    keeps_the_first_moment_when_a_token_is_revoked_again,
                    does_not_revoke_a_token_that_is_not_there,
                    lets_only_one_of_many_racing_inserts_of_an_id_win,
                    is_empty_at_first,
                }
                adoptions {
                    adopts_a_whole_snapshot_as_it_is,
                    leaves_a_snapshot_as_it_is_that_is_adopted_again,
                    lets_an_adopted_snapshot_be_changed_and_deleted_like_any_other,
                }
                checks {
                    knows_nothing_of_a_snapshots_bytes_before_the_first_check,
                    keeps_what_a_check_found,
                    changes_nothing_of_a_snapshot_by_a_check_but_its_health,
                    keeps_the_health_of_a_snapshot_that_is_changed,
                    records_checks_and_changes_at_once_without_losing_any,
                    says_nothing_by_a_check_that_could_not_decide,
                    ignores_a_check_that_began_before_the_last_one,
                    checks_only_what_is_there_and_available,
                    lists_what_was_never_checked_before_what_was_checked_longest_ago,
                    lists_what_is_due_part_by_part,
                    lists_only_what_was_checked_before_a_moment,
                    records_a_check_although_one_in_the_future_is_recorded,
                    forgets_checks_that_began_after_a_moment,
                    lists_only_the_damaged_when_asked_for_them,
                }
                maintenance {
                    keeps_every_run_as_it_was_asked_for,
                    gives_out_one_run_of_a_kind_at_a_time,
                    never_gives_two_runs_of_a_kind_to_racing_claims,
                    gives_out_a_run_again_whose_lease_has_expired,
                    keeps_a_renewed_run_longer_and_notes_what_it_waits_for,
                    keeps_how_a_run_ended,
                    gives_back_every_run_of_one_instance_only,
                    tells_the_latest_run_of_a_kind,
                    tells_the_latest_run_up_to_a_moment,
                    forgets_runs_that_ended_long_ago,
                    refuses_a_lease_of_a_run_that_is_not_there,
                }
                sizes {
                    tells_what_was_measured,
                    tells_nothing_that_was_measured_for_other_snapshots,
                    tells_on_when_no_whole_snapshot_of_the_domain_changes,
                    stores_nothing_that_was_measured_for_other_snapshots,
                    replaces_what_was_measured_before,
                    tells_each_snapshot_of_a_list_by_its_own_domain,
                }
                packs {
                    keeps_a_pack_as_it_was_recorded,
                    records_the_same_pack_only_once,
                    lists_packs_by_the_bytes_of_their_ids,
                    continues_the_list_of_packs_after_an_id,
                    records_every_new_pack_as_kept,
                    condemns_only_packs_that_are_kept,
                    makes_condemned_and_dropped_packs_the_next_collections,
                    releases_and_drops_nothing_but_what_the_collection_has_condemned,
                    lets_either_of_two_racing_collections_drop_a_pack_or_the_other_take_it_over,
                    forgets_dropped_packs_and_what_is_set_aside_in_them,
                    sets_a_damaged_chunk_aside_only_once,
                    sets_nothing_aside_in_a_pack_that_is_not_listed,
                    distrusts_exactly_condemned_and_dropped_packs_and_what_is_set_aside,
                    changes_more_packs_at_once_than_a_statement_takes_parameters,
                }
                receipts {
                    keeps_a_receipt_as_it_was_stored,
                    finds_no_receipt_of_another_id,
                    finds_no_receipt_that_has_expired,
                    refuses_a_second_receipt_of_the_same_id,
                    keeps_a_receipt_in_place_of_one_that_has_expired,
                    forgets_receipts_that_have_expired_in_steps,
                    keeps_a_receipt_together_with_the_snapshot_it_tells_of,
                    keeps_no_receipt_of_a_snapshot_that_could_not_begin,
                    keeps_a_receipt_together_with_the_volume_it_tells_of,
                    keeps_a_receipt_together_with_the_restore_it_tells_of,
                    lets_only_one_of_many_racing_requests_under_one_key_make_something,
                }
                audit {
                    keeps_an_entry_as_it_was_recorded,
                    notes_an_act_together_with_what_it_makes,
                    notes_nothing_of_an_act_that_fails,
                    notes_an_act_once_that_is_tried_again,
                    notes_an_act_once_that_stores_several_things,
                    notes_an_act_by_itself_that_stores_nothing,
                    notes_every_kind_of_change,
                    tells_both_owners_of_a_move,
                    tells_all_organizations_of_a_token,
                    lists_what_several_are_told_of_once_for_each,
                    lists_entries_oldest_first_and_continues_after_a_cursor,
                    filters_entries,
                    forgets_old_entries_in_steps,
                }
                transfers {
                    keeps_an_offer_as_it_was_made,
                    refuses_an_offer_of_what_is_not_the_givers,
                    puts_an_offer_in_place_of_an_earlier_one,
                    gives_an_accepted_snapshot_to_its_new_owner,
                    keeps_a_receipt_together_with_the_offer_it_tells_of,
                    keeps_a_receipt_together_with_the_acceptance_it_tells_of,
                    lets_only_one_of_many_racing_acceptances_win,
                    keeps_an_offer_that_is_accepted_beyond_the_quota,
                    does_not_accept_over_a_rename,
                    counts_wrong_secrets,
                    lets_only_the_giver_withdraw_an_offer,
                    ends_the_offer_of_a_snapshot_that_is_deleted,
                    ends_the_offer_of_a_snapshot_that_is_given_away,
                    lets_either_the_acceptance_or_the_deletion_win,
                    tells_the_giver_of_a_withdrawal,
                    tells_both_sides_of_an_acceptance,
                }
                quotas {
                    shows_no_quota_and_no_use_at_first,
                    keeps_a_quota_as_it_was_set,
                    changes_only_the_limits_that_are_told,
                    knows_no_quota_of_an_organization_that_is_not_there,
                    refuses_a_snapshot_beyond_the_quota_and_leaves_nothing_of_it,
                    gives_a_failed_cancelled_or_deleted_snapshot_back,
                    refuses_bytes_of_volumes_beyond_the_quota,
                    gives_the_bytes_of_a_failed_or_deleted_volume_back,
                    moves_a_transferred_snapshot_from_quota_to_quota,
                    changes_what_is_there_beyond_a_quota_that_was_lowered,
                    adopts_snapshots_beyond_the_quota,
                    never_exceeds_a_quota_when_many_race,
                    passes_over_tasks_beyond_the_quota_and_gives_out_those_of_others,
                    gives_out_what_waited_when_a_running_task_ended_or_was_put_back,
                    gives_out_called_off_and_expired_tasks_beyond_the_quota,
                    never_gives_out_more_tasks_than_the_quota_to_racing_claims,
                }
                snapshot_lists {
                    lists_snapshots_oldest_first_with_ties_by_id,
                    continues_a_list_of_snapshots_after_a_cursor,
                    continues_a_list_after_a_snapshot_that_is_gone,
                    skips_and_limits_snapshots,
                    reads_pages_as_they_are_whatever_came_and_went,
                    lists_snapshots_of_several_organizations_in_one_order,
                    lists_snapshots_once_when_a_scope_names_their_organization_twice,
                    lists_no_snapshots_of_others,
                    finds_no_snapshots_in_an_empty_scope,
                    hides_a_snapshot_from_everybody_but_its_owner,
                    shows_a_transferred_snapshot_to_its_new_owner_only,
                    finds_a_snapshot_whatever_moment_its_id_tells,
                    filters_snapshots_by_exact_name,
                    filters_snapshots_by_all_tags,
                    filters_snapshots_by_base_volume,
                    filters_snapshots_by_state,
                    applies_all_filters_of_snapshots_at_once,
                }
                snapshots {
                    keeps_a_snapshot_as_it_was_begun,
                    tells_how_a_snapshot_that_was_handed_over_began,
                    keeps_what_is_known_of_an_ended_copy,
                    counts_a_copy_without_changing_the_volumes_revision,
                    begins_a_snapshot_for_another_organization_than_the_volumes,
                    lets_any_number_of_copies_of_one_volume_begin_at_once,
                    does_not_begin_a_copy_of_a_volume_that_was_changed,
                    does_not_begin_a_copy_of_a_volume_that_was_renamed,
                    does_not_begin_a_copy_of_a_volume_that_is_gone,
                    refuses_a_snapshot_whose_id_is_taken,
                    replaces_a_snapshot_by_its_next_revision,
                    lets_only_one_of_two_racing_changes_of_a_snapshot_win,
                    refuses_any_revision_of_a_snapshot_but_the_next,
                    does_not_update_a_snapshot_that_is_gone,
                    deletes_a_snapshot_and_stores_what_is_left_to_do,
                    does_not_delete_a_snapshot_that_was_changed,
                    does_not_delete_a_snapshot_that_is_gone,
                    lets_only_one_of_many_racing_deletes_win,
                    finds_the_latest_available_snapshot_of_a_volume,
                    finds_the_latest_snapshot_by_its_domain_also_after_a_transfer,
                    forgets_a_deleted_snapshot_as_the_latest,
                    never_lets_a_copy_and_a_write_begin_together,
                    leaves_other_snapshots_alone,
                }
                captures {
                    ends_a_copy_that_went_well,
                    ends_a_copy_that_failed,
                    counts_only_the_copies_that_still_run,
                    lets_any_number_of_copies_of_one_volume_end_at_once,
                    does_not_end_a_copy_over_a_rename,
                    ends_a_copy_only_once,
                    does_not_let_a_worker_end_a_copy_that_somebody_else_took,
                    does_not_let_a_worker_end_a_copy_that_it_put_back,
                    does_not_end_a_copy_under_a_lease_of_nothing,
                    ends_a_copy_under_a_lease_that_expired_but_was_not_taken,
                    cancels_a_copy_that_nobody_holds,
                    tells_a_worker_that_its_copy_was_cancelled,
                    does_not_resurrect_a_cancelled_snapshot,
                    does_not_cancel_a_snapshot_that_was_changed,
                    does_not_cancel_a_snapshot_that_is_gone,
                    lets_either_the_end_or_the_cancelling_of_a_copy_win,
                }
                volume_lists {
                    lists_volumes_oldest_first_with_ties_by_id,
                    continues_a_list_of_volumes_after_a_cursor,
                    skips_and_limits_volumes,
                    lists_volumes_of_several_organizations_in_one_order,
                    finds_no_volumes_in_an_empty_scope,
                    hides_a_volume_from_everybody_but_its_owner,
                    filters_volumes_by_exact_name,
                    filters_volumes_by_all_tags,
                    filters_volumes_by_the_state_that_the_api_shows,
                    applies_all_filters_of_volumes_at_once,
                    finds_every_volume_that_is_being_written,
                }
                volumes {
                    keeps_a_volume_as_it_was_stored,
                    refuses_a_volume_whose_id_is_taken,
                    replaces_a_volume_by_its_next_revision,
                    keeps_every_state_of_a_volume,
                    lets_only_one_of_two_racing_changes_of_a_volume_win,
                    refuses_any_revision_of_a_volume_but_the_next,
                    renames_a_volume_while_it_is_copied,
                    renames_a_volume_whatever_copies_begin_and_end,
                    refuses_a_write_beside_a_copy_that_began_just_before,
                    does_not_update_a_volume_that_is_gone,
                    deletes_a_volume_and_stores_what_is_left_to_do,
                    keeps_the_snapshots_of_a_deleted_volume,
                    does_not_delete_a_volume_that_was_changed,
                    does_not_delete_a_volume_that_is_gone,
                    never_lets_a_copy_begin_of_a_volume_that_is_deleted,
                    leaves_other_volumes_alone,
                }
                restores {
                    keeps_a_restore_as_it_was_begun,
                    does_not_begin_a_restore_from_a_snapshot_that_is_gone,
                    refuses_a_restore_into_a_volume_whose_id_is_taken,
                    ends_a_restore_that_went_well,
                    ends_a_restore_that_failed,
                    keeps_what_a_salvage_could_not_bring_back,
                    keeps_that_a_restore_is_a_salvage,
                    ends_a_restore_only_once,
                    does_not_end_a_restore_over_a_rename,
                    does_not_let_a_worker_end_a_restore_that_somebody_else_took,
                    does_not_end_a_restore_that_is_not_running,
                    lets_any_number_of_restores_of_one_snapshot_begin_at_once,
                    gives_out_the_removal_of_a_manifest_only_when_no_restore_reads_it,
                    does_not_let_a_waiting_removal_hold_up_other_tasks,
                }
                leases {
                    gives_out_the_oldest_task_first_with_ties_by_id,
                    gives_out_nothing_when_there_is_nothing_to_do,
                    notes_who_holds_a_task_and_until_when,
                    gives_out_a_held_task_again_only_when_its_lease_has_expired,
                    gives_out_an_expired_task_before_newer_ones,
                    gives_out_a_cancelled_task_until_somebody_ended_it,
                    never_gives_out_a_task_that_has_ended,
                    never_gives_the_same_task_to_two_racing_claims,
                    gives_an_expired_task_to_only_one_of_many_racing_claims,
                    keeps_a_renewed_task_longer_and_notes_its_progress,
                    renews_a_lease_that_expired_but_was_not_taken,
                    refuses_every_lease_but_the_last_claims,
                    gives_out_a_task_that_was_put_back,
                    gives_back_every_task_of_one_instance_only,
                    counts_how_often_a_task_was_interrupted,
                }
                tasks {
                    keeps_every_kind_of_work_as_it_was_stored,
                    does_not_find_a_task_that_is_not_there,
                    hides_a_task_from_everybody_but_its_owner,
                    keeps_how_a_task_ended,
                    tells_how_far_the_copies_of_snapshots_are,
                    tells_how_far_the_work_on_volumes_is,
                    tells_of_several_copies_of_a_volume_the_last_one,
                    tells_which_copies_run,
                }
            }
        }
    };
    (@rules $make:expr; $($suite:ident { $($rule:ident,)+ })+) => {
        $($(
            #[test]
            fn $rule() {
                $crate::testing::contract::run(stringify!($rule), ($make)(), $crate::testing::contract::$suite::$rule);
            }
        )+)+
    };
}
