"""Whose fault is a failure? A test for each row of the table."""

from dataclasses import replace

import pytest

from consumers.core.blame import Act, Blame, History, Policy, Verdict, judge
from schemas.errors import (
    BrokerMisconfigured,
    BrokerUnavailable,
    HeadraceError,
    InputRejected,
    MalformedReply,
    ProviderMisconfigured,
    ProviderUnavailable,
    RateLimited,
    RowRejected,
    StoreMisconfigured,
    StoreUnavailable,
)

POLICY = Policy(max_attempts=5, min_blame_s=60.0)
MANY, ONE = History(size=8, failures=1), History(size=1, failures=1)


def verdict(error: HeadraceError, history: History, now: float = 1000.0, jitter: float = 0.0) -> Verdict:
    return judge(error, history, POLICY, now, jitter)


@pytest.mark.parametrize("error", [InputRejected("no", status=400), RowRejected("no", sqlstate="22000")])
def test_a_refused_batch_of_several_is_split(error: HeadraceError) -> None:
    assert verdict(error, MANY) == Verdict(Blame.BATCH, Act.SPLIT)


def test_a_refused_input_is_dead_lettered_when_the_lane_is_well() -> None:
    told = verdict(InputRejected("no", status=400), replace(ONE, lane_well=True))
    assert (told.act, told.code) == (Act.DEAD_LETTER, "input-rejected")


def test_a_refused_input_is_not_condemned_before_a_known_good_text_was_tried() -> None:
    assert verdict(InputRejected("no"), ONE).act is Act.PROBE


def test_a_provider_that_refuses_known_good_text_too_is_misconfigured() -> None:
    told = verdict(InputRejected("no"), replace(ONE, probed=True))
    assert (told.blame, told.act) == (Blame.CONFIGURATION, Act.BLOCK)


def test_a_row_that_the_database_refuses_is_dead_lettered() -> None:
    assert verdict(RowRejected("no", sqlstate="22021"), ONE) == Verdict(
        Blame.ITEM, Act.DEAD_LETTER, code="row-rejected"
    )


def test_a_rate_limit_waits_as_told_and_burns_no_attempt() -> None:
    told = verdict(RateLimited("slow", retry_after=7.0), replace(ONE, lane_well=True, counted=99, first_counted=0.0))
    assert (told.blame, told.act, told.delay, told.counts) == (Blame.PROVIDER, Act.RETRY, 7.0, False)


def test_a_rate_limit_that_says_nothing_backs_off() -> None:
    assert verdict(RateLimited("slow"), replace(MANY, failures=3)).delay == 1.0


def test_nobody_waits_an_hour_because_a_provider_says_so() -> None:
    assert verdict(RateLimited("slow", retry_after=3600.0), ONE).delay == 120.0


def test_an_outage_is_retried_for_ever_and_counts_against_nobody() -> None:
    for failures in (1, 10, 1000):
        told = verdict(ProviderUnavailable("away"), History(1, failures, probed=True))
        assert (told.act, told.counts, told.delay <= 15.0) == (Act.RETRY, False, True)


def test_a_second_failure_in_a_row_asks_with_a_known_good_text() -> None:
    assert verdict(ProviderUnavailable("away"), replace(ONE, failures=2)).act is Act.PROBE


def test_a_batch_that_fails_while_the_lane_is_well_is_split() -> None:
    told = verdict(ProviderUnavailable("500"), replace(MANY, lane_well=True))
    assert (told.blame, told.act) == (Blame.BATCH, Act.SPLIT)


def test_one_input_is_given_up_only_after_enough_attempts_over_enough_time() -> None:
    failing = replace(ONE, lane_well=True, counted=4, first_counted=930.0, sure=True)
    assert verdict(ProviderUnavailable("500"), failing).code == "attempts-exhausted"
    assert verdict(ProviderUnavailable("500"), replace(failing, counted=3)).act is Act.RETRY
    assert verdict(ProviderUnavailable("500"), replace(failing, first_counted=950.0)).act is Act.RETRY
    assert verdict(ProviderUnavailable("500"), replace(failing, lane_well=False, probed=True)).act is Act.RETRY


def test_nobody_is_given_up_before_a_known_good_text_passed_many_times_in_a_row() -> None:
    failing = replace(ONE, lane_well=True, counted=4, first_counted=930.0)
    told = verdict(ProviderUnavailable("500"), failing)
    assert (told.act, told.probes) == (Act.PROBE, 5)
    assert verdict(ProviderUnavailable("500"), replace(failing, lane_well=False, probed=True)).act is Act.RETRY


def test_a_malformed_reply_is_asked_for_once_more_then_the_batch_is_split() -> None:
    assert verdict(MalformedReply("?"), replace(MANY, malformed=1)).act is Act.RETRY
    assert verdict(MalformedReply("?"), replace(MANY, malformed=2)).act is Act.SPLIT


def test_a_malformed_reply_to_one_input_counts_only_while_the_lane_is_well() -> None:
    told = verdict(MalformedReply("?"), replace(ONE, failures=3, malformed=3, lane_well=True))
    assert (told.act, told.counts) == (Act.RETRY, True)
    assert verdict(MalformedReply("?"), replace(ONE, malformed=3, probed=True)).counts is False


@pytest.mark.parametrize(
    "error", [ProviderMisconfigured("401"), StoreMisconfigured("42P01"), BrokerMisconfigured("no rights")]
)
def test_a_wrong_configuration_blocks_and_is_tried_again_within_a_minute(error: HeadraceError) -> None:
    told = verdict(error, MANY, jitter=1.0)
    assert (told.blame, told.act, told.delay) == (Blame.CONFIGURATION, Act.BLOCK, 60.0)
    assert verdict(error, MANY, jitter=0.0).delay == 15.0


@pytest.mark.parametrize("error", [StoreUnavailable("away", sqlstate="57P01"), BrokerUnavailable("away")])
def test_an_outage_of_database_or_broker_backs_off(error: HeadraceError) -> None:
    assert (verdict(error, ONE).act, verdict(error, ONE).delay) == (Act.RETRY, 0.25)


def test_a_deadlock_is_retried_at_once_the_first_time() -> None:
    deadlock = StoreUnavailable("deadlock", sqlstate="40P01")
    assert verdict(deadlock, MANY).delay == 0.0
    assert verdict(deadlock, replace(MANY, failures=2)).delay == 0.5
