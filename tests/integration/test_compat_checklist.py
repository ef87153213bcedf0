"""Every row of the compatibility spec's sections 2 to 4 that was observed in 1.0.91, and the tests of what smd does.

Read it as a table: section, what the row says in our words, names of the tests. A name without file lives in the file
that `FILES` names for its section; `configs:` is tests/acceptance/test_compat_configs.py.
"""

from __future__ import annotations

import importlib

import pytest

FILES = {
    "1": "integration.test_compat_files", "2.1": "integration.test_compat_steps", "2.3": "integration.test_compat_steps",
    "2.4": "integration.test_compat_steps", "2.5": "integration.test_compat_steps", "2.6": "integration.test_compat_steps",
    "2.7": "integration.test_compat_steps", "2.8": "integration.test_compat_context", "2.9": "integration.test_compat_context",
    "2.10": "integration.test_compat_ends", "2.11": "integration.test_compat_ends", "2.13": "acceptance.test_compat_configs",
    "3": "integration.test_compat_context", "4": "integration.test_compat_actions",
    "4.9": "integration.test_compat_children", "configs": "acceptance.test_compat_configs",
}  # fmt: skip

ROWS: dict[str, list[tuple[str, str]]] = {
    "1": [
        ("null list of actions crashed", "test_a_state_without_actions_may_say_null"),
        ("row without event crashed", "test_a_row_without_event_is_told_at_load_with_its_place"),
        ("actions of a row were ignored", "test_actions_of_a_row_run_when_it_is_taken_before_those_of_its_target"),
        ("first matching row wins, wildcard or not", "test_file_order_decides_between_rows"),
        ("action without type was skipped", "test_an_action_without_type_is_told_at_load"),
        ("params: was not unwrapped", "test_parameters_under_params_are_read_by_every_built_in"),
    ],
    "2.1": [
        ("start is handled before the first actions", "test_start_moves_before_the_initial_state_acts"),
        ("no row for start: the first actions run", "test_without_a_row_for_start_the_initial_state_acts"),
    ],
    "2.3": [
        ("pick-up took up to 50 or 500 ms of polling", "test_an_event_is_picked_up_though_time_stands_still"),
        ("20 (2) events a second at most", "test_everything_that_waits_is_taken_in_one_turn_not_one_event_a_tick"),
    ],
    "2.4": [
        ("a result without row goes on", "test_a_result_without_row_goes_on_to_the_next_action"),
        ("a result that leaves abandons the rest", "test_a_result_that_leaves_the_state_abandons_the_rest"),
        ("one-shot per entry", "test_actions_run_once_per_entry_and_again_on_the_next"),
        ("repeatable ran every tick", "test_a_repeatable_action_repeats_at_a_bounded_pace"),
        ("repeatable: boolean words", "test_boolean_words_mean_what_they_say"),
        ("events were not read while an action ran", "test_events_are_read_while_an_action_runs"),
        ("an action runs once", "test_an_action_that_has_ended_is_not_run_again_while_its_result_waits_its_turn"),
    ],
    "2.5": [
        ("a self-loop kept the done-set", "test_a_self_loop_runs_every_action_again_from_the_top"),
        ("a self-loop must not be hot", "test_a_result_that_loops_at_once_is_paced_and_never_hot"),
        ("pattern 1: poll for jobs", "test_a_worker_whose_empty_poll_loops_back_takes_jobs_for_ever"),
        ("pattern 2: one worker per queued job", "test_a_self_loop_spawns_one_worker_per_queued_job"),
        ("pattern 3: timed re-poll of wait_for_jobs", "test_a_timed_self_loop_beside_wait_for_jobs_ends_when_the_jobs_have"),
        ("pattern 4: repeatable beside a self-loop", "test_a_worker_whose_empty_poll_loops_back_takes_jobs_for_ever"),
    ],
    "2.6": [
        ("unknown event was dropped silently", "test_an_unknown_event_is_answered_not_dropped"),
        ("an ignored event overwrote event_data", "test_an_ignored_event_does_not_become_the_event_data_of_what_runs"),
        ("context_map without transition", "test_context_map_promotes_before_the_row_is_looked_up_and_without_one"),
        ("context_map: missing, null, no map", "test_context_map_keeps_the_old_value_where_the_path_leads_nowhere"),
        ("context_map of internal events", "test_context_map_promotes_the_results_of_actions_too"),
        ("context_map: a path that is no text", "test_a_context_map_path_that_is_no_text_is_refused_at_load"),
        ("a stale result moved the successor", "test_a_result_whose_state_entry_is_over_is_discarded"),
        ("the action of a left state ran on", "test_the_action_of_a_state_that_timed_out_is_cancelled"),
        ("matching is exact", "test_event_names_match_exactly_and_by_case"),
        ("events: membership is not required", "test_an_event_that_is_not_declared_works_all_the_same"),
        ("stop has no meaning of its own", "test_stop_means_nothing_without_a_row"),
    ],
    "2.7": [
        ("each kind of failure is `error`", "test_every_kind_of_failure_is_the_event_error_with_its_reason"),
        ("no row for error: the next action", "test_a_failure_without_row_goes_on_with_the_next_action"),
        ("unknown action type", "test_an_action_type_nobody_knows_is_refused_at_load"),
        ("error is told live", "test_an_error_is_told_to_those_who_watch"),
    ],
    "2.8": [
        ("id and job_id by who took the job", "test_id_and_job_id_are_both_the_text_id_however_a_job_was_taken"),
        ("stale keys of the job before", "test_keys_of_the_job_before_do_not_stay_behind"),
        ("null fields are not copied", "test_null_fields_of_a_job_are_not_promoted"),
        ("data that is a list crashed", "test_any_kind_of_job_data_is_taken_and_kept"),
        ("data could overwrite the machine's words", "test_job_data_cannot_overwrite_the_words_of_the_machine"),
        ("complete_job after check_database_queue", "test_complete_job_knows_the_job_that_was_taken_from_the_queue"),
        ("event_data.event_name", "test_event_data_holds_type_event_name_payload_and_job_id"),
        ("payload that is JSON text", "test_a_payload_that_is_json_text_arrives_as_its_value"),
    ],
    "2.9": [
        ("syntax", "test_a_time_out_fires_when_its_seconds_have_passed"),
        ("other names are events", "test_other_names_are_ordinary_events"),
        ("armed at entry and self-loop", "test_a_self_loop_arms_the_time_out_anew"),
        ("armed by `*` rows", "test_a_row_for_any_state_arms_in_every_state"),
        ("file order decides what fires", "test_file_order_decides_between_a_row_for_this_state_and_for_any"),
        ("an ignored event cancels nothing", "test_an_ignored_event_does_not_cancel_a_time_out"),
        ("a transition cancels", "test_a_transition_cancels_the_time_outs_of_the_state_it_leaves"),
        ("several N", "test_of_several_time_outs_the_first_to_fire_wins_and_the_others_are_gone"),
        ("the same N twice leaked a timer", "test_the_same_time_out_twice_never_fires_later_in_another_state"),
        ("terminal states", "test_no_time_out_outlives_the_machine"),
        ("during a long action", "test_a_time_out_fires_while_an_action_runs_and_ends_it"),
        ("firing on a self-loop", "test_a_time_out_back_to_the_same_state_fires_again_and_again"),
    ],
    "2.10": [
        ("actions of a terminal state never ran", "test_a_terminal_state_runs_its_actions_and_then_ends_the_machine"),
        ("lasting ones too", "test_lasting_actions_of_a_terminal_state_end_before_the_machine_does"),
        ("completed -> waiting never happened", "test_a_terminal_name_with_a_row_of_its_own_leads_on"),
        ("terminal names were fixed", "test_other_states_can_be_named_terminal"),
        ("machine_terminated", "test_an_end_is_told_to_those_who_watch"),
        ("SIGTERM, SIGINT left socket and row", "test_a_signal_ends_the_daemon_well_and_leaves_no_socket_and_no_process"),
        ("a crash left socket and row", "test_after_a_kill_the_next_start_finds_no_obstacle_and_no_orphan"),
        ("left-over rows suppressed machine_registered", "steps:test_a_machine_is_registered_at_every_start"),
        ("a second start made the first deaf", "test_a_second_daemon_on_the_same_store_is_refused_and_the_first_hears_on"),
        ("the same name twice", "children:test_a_name_is_given_to_one_machine_only"),
    ],
    "2.11": [
        ("longer than 4096 bytes was lost", "test_a_large_datagram_arrives_whole"),
        ("11 of a burst of 100 were taken", "test_a_burst_far_beyond_the_kernels_queue_arrives_whole_and_in_order"),
        ("blocking senders hung", "test_a_sender_never_hangs_while_the_machine_runs_a_command"),
        ("two machines could block each other", "test_two_machines_that_send_to_each_other_never_block"),
        ("not JSON, or an array", "test_what_is_no_event_is_refused_and_the_next_one_taken"),
        ("no type", "test_a_datagram_without_type_is_the_event_unknown"),
        ("machine not running: never delivered", "test_events_for_a_machine_that_is_stopped_wait_for_it"),
    ],
    "2.13": [
        ("simple_worker ended after one job", "test_simple_worker_drains_two_hundred_jobs_and_never_stops"),
        ("simple_worker polled once", "test_simple_worker_takes_a_job_added_while_it_waits_without_any_tick"),
        ("worker's jobs stayed processing", "test_the_controller_logs_every_completion_the_worker_notifies"),
        ("controller logged nothing", "test_the_controller_counts_a_burst_of_twenty_whole_and_in_order"),
        ("custom_actions: wrapped log messages", "test_the_custom_worker_greets"),
        ("custom_actions: calculate", "test_the_custom_worker_calculates"),
        ("timeout_demo", "test_the_timeout_demo_times_out_and_retries_again_and_again"),
        ("patient_records stalled at the first spawn", "steps:test_a_self_loop_spawns_one_worker_per_queued_job"),
    ],
    "3": [
        ("grammar, look-up, falsy, missing, one pass, braces, filters", "test_a_placeholder_in_text"),
        ("whole value keeps its type", "test_a_text_that_is_one_placeholder_keeps_the_type_of_the_value"),
        ("every level, values only", "test_placeholders_reach_every_level_but_keys"),
        ("command injection", "test_a_value_in_a_command_is_never_shell_text"),
        ("{a|b}, ${HOME}, filters in commands", "test_commands_know_fall_backs_and_filters_and_leave_the_shell_its_own"),
        ("missing value in a command", "test_a_placeholder_without_a_value_stays_as_written_in_commands_too"),
        ("bash expanded twice", "test_one_pass_only_in_commands_too"),
    ],
    "4": [
        ("4.1 log: success ignored, nothing shown", "test_a_log_is_shown_live_kept_and_answers_its_success"),
        ("4.1 rate-limited", "test_every_log_is_written_however_often_it_repeats"),
        ("4.1 unknown level", "test_an_unknown_level_is_info"),
        ("4.1 log cannot be replaced", "test_log_stays_the_built_in_one_beside_a_file_of_that_name"),
        ("1.7 both layouts", "test_both_layouts_of_parameters_are_read_and_the_outer_one_wins"),
        ("4.2 activity_log: never shown", "test_a_log_is_shown_live_kept_and_answers_its_success"),
        ("4.2 activity_log: success is continue", "test_activity_log_answers_continue_and_log_nothing"),
        ("4.3 sleep: text crashed", "test_sleep_takes_any_duration_and_answers_wake_up"),
        ("4.3 sleep: nonsense", "test_a_sleep_that_makes_no_sense_fails_and_never_crashes"),
        ("4.3 sleep blocked", "test_a_sleep_does_not_keep_events_out"),
        ("4.3 job data replaced the command", "test_a_command_in_job_data_is_never_run"),
        ("4.3 error ignored; error_mappings", "test_an_exit_code_is_the_event_its_file_names"),
        ("4.3 current_job removed", "test_the_job_stays_in_the_context_when_a_command_fails"),
        ("4.3 stale exit code", "test_a_time_out_leaves_no_exit_code_of_an_earlier_command"),
        ("4.3 output was thrown away", "test_output_is_kept_in_the_context_where_asked_and_whole_in_the_log"),
        ("4.3 grandchildren survived, error late", "test_a_time_out_ends_the_whole_process_tree_and_is_told_at_once"),
        ("4.3 pipes held open", "test_a_grandchild_that_holds_the_pipes_delays_no_answer"),
        ("4.3 quoting", "context:test_a_value_in_a_command_is_never_shell_text"),
        ("4.4 default job type, fixed events", "jobs:test_check_database_queue_takes_any_type_unless_told_and_its_events_can_be_named"),
        ("4.4 empty check", "jobs:test_an_empty_check_that_leads_elsewhere_answers_at_once"),
        ("4.4 job without payload, list payload", "context:test_any_kind_of_job_data_is_taken_and_kept"),
        ("4.4 claim_job", "jobs:test_claiming_a_job_that_is_taken_or_unknown_is_already_claimed"),
        ("4.4 complete_job of nobody", "jobs:test_completing_a_job_that_is_not_there_is_an_error_not_a_success"),
        ("4.4 add_job, fail_job were missing", "jobs:test_jobs_can_be_added_claimed_and_ended_by_actions"),
        ("4.4 wait_for_jobs pushes", "jobs:test_wait_for_jobs_is_told_the_moment_the_last_job_ends_whatever_the_clock"),
        ("4.4 inherited deadline", "jobs:test_wait_for_jobs_gives_up_at_its_time_out_and_later_batches_have_a_deadline_of_their_own"),
        ("4.4 nothing tracked", "jobs:test_waiting_for_no_jobs_says_so"),
        ("4.5 lists", "test_list_actions_answer_as_before"),
        ("4.5 required parameters", "test_a_required_parameter_that_is_missing_is_told_at_load"),
        ("4.5 order", "test_items_leave_a_list_first_in_first_out"),
        ("4.6 target", "test_send_event_reaches_its_target_under_either_name_of_the_key"),
        ("4.6 payload rule", "test_payloads_are_filled_in_at_every_depth"),
        ("4.6 forwarding", "test_a_payload_can_be_forwarded_whole"),
        ("4.6 fire_and_forget", "test_fire_and_forget_answers_nothing"),
        ("4.6 nobody there", "test_an_event_for_nobody_is_told_to_its_sender"),
        ("4.6 never delivered later", "test_an_event_for_a_stopped_machine_waits_and_is_delivered"),
        ("4.7 clear_events left queued events", "test_clear_events_discards_what_waits_and_says_whether_there_was_any"),
        ("4.8 always not_running", "test_check_machine_state_tells_the_truth"),
        ("4.10 check_events was absent", "test_check_events_exists_and_goes_on_with_the_event"),
    ],
    "4.9": [
        ("path relative to the parent", "test_a_relative_path_is_found_under_the_work_folder"),
        ("path outside", "test_a_path_outside_or_of_no_chart_is_an_error_and_starts_nothing"),
        ("context_vars", "test_context_vars_are_handed_over_and_what_has_no_value_is_not"),
        ("store_pid; success meant created", "test_success_means_that_the_child_runs_and_its_name_can_be_kept"),
        ("a child that logs 64 KiB froze", "test_a_child_that_floods_its_log_does_not_freeze"),
        ("no event at its end", "test_the_end_of_a_child_is_an_event_of_its_parent_with_its_context"),
        ("never reaped; ends with its parent if linked", "test_a_linked_child_ends_with_its_parent_and_another_lives_on"),
    ],
}  # fmt: skip

CASES = [(section, words, test) for section, rows in ROWS.items() for words, test in rows]


@pytest.mark.parametrize(("section", "words", "test"), CASES, ids=[f"{s} {w}" for s, w, _ in CASES])
def test_every_row_has_its_test(section: str, words: str, test: str) -> None:
    where, _, name = test.rpartition(":")
    module = f"integration.test_compat_{where}" if where else FILES[section]
    assert callable(getattr(importlib.import_module(f"tests.{module}"), name)), words


def test_no_section_is_missing() -> None:
    assert set(ROWS) == set(FILES) - {"configs"}
