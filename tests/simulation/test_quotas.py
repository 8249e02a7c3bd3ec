"""A quota is used to the full and hardly passed: whether it is told or found out, by one worker or by a fleet.

The real pipelines on a clock that jumps, so the numbers are the same in every run: at least 95 % of the limit is used
and under 2 % of the calls are refused, once what there is to learn is learnt.
"""

import pytest

from tests.simulation.quotas import Bucket, Fleet, Limit, LimitedProvider, Minutes, Sliding, run

USED, REFUSED = 0.95, 0.02
CALLS_S, TOKENS_S = 10.0, 2250.0
RPM, TPM = 600, 135_000
FEW_CALLS_S = 3.0


def assert_well_used(provider: LimitedProvider, begin: float, end: float) -> None:
    used, refused = provider.used(begin, end), provider.refused(begin, end)
    assert used >= USED, f"{used:.1%} used, {refused:.1%} refused"
    assert refused < REFUSED, f"{used:.1%} used, {refused:.1%} refused"


@pytest.mark.parametrize("workers", [1, 3])
def test_a_quota_that_is_told_is_used_to_the_full(workers: int) -> None:
    assert_well_used(run(Bucket(CALLS_S, CALLS_S), seconds=60, workers=workers, rpm=RPM), 20, 60)


@pytest.mark.parametrize("workers", [1, 3])
def test_so_is_a_quota_of_tokens(workers: int) -> None:
    limit = Bucket(TOKENS_S, 2 * TOKENS_S)
    assert_well_used(run(limit, seconds=60, workers=workers, tpm=TPM, tokens=True), 20, 60)


@pytest.mark.parametrize(
    ("limit", "begin", "end"),
    [
        (Bucket(CALLS_S, CALLS_S), 60, 120),
        (Bucket(CALLS_S, 60 * CALLS_S), 180, 240),
        (Bucket(1.0, 5.0), 180, 360),
        (Sliding(10, 1.0), 60, 120),
        (Sliding(RPM, 60.0), 180, 300),
        (Minutes(RPM), 120, 480),
    ],
    ids=["bucket", "bucket of a minute", "bucket of few calls", "any second", "any minute", "full minutes"],
)
def test_a_limit_that_shows_by_refusals_alone_is_found_and_kept(limit: Limit, begin: float, end: float) -> None:
    assert_well_used(run(limit, seconds=end), begin, end)


def test_so_is_a_limit_of_tokens() -> None:
    assert_well_used(run(Bucket(TOKENS_S, 2 * TOKENS_S), seconds=120, tokens=True), 60, 120)


def test_so_is_a_limit_whose_refusals_ask_for_a_pause() -> None:
    assert_well_used(run(Bucket(CALLS_S, CALLS_S), seconds=240, retry_after=1.0), 120, 240)


def kill(fleet: Fleet) -> None:
    """End the worker that came first, which had the quota to itself for a while."""
    fleet.kill(0)


def test_a_fleet_finds_a_limit_together_and_again_when_one_is_killed() -> None:
    provider = run(Bucket(CALLS_S, CALLS_S), seconds=270, workers=3, befalls=kill, at=180)
    assert_well_used(provider, 120, 180)
    assert_well_used(provider, 210, 270)


def test_what_a_killed_worker_had_of_a_told_quota_is_used_by_the_others() -> None:
    provider = run(Bucket(CALLS_S, CALLS_S), seconds=90, workers=3, rpm=RPM, befalls=kill, at=30)
    assert_well_used(provider, 60, 90)


@pytest.mark.parametrize("told", [None, RPM], ids=["limit to be found", "limit told"])
def test_a_storm_costs_few_calls_and_is_over_when_it_is_over(told: int | None) -> None:
    provider = run(Bucket(CALLS_S, CALLS_S), seconds=90, rpm=told, storms=[(60, 70)])
    assert provider.calls(60, 70) <= FEW_CALLS_S * 10
    assert provider.rate(72, 80) >= 0.9 * provider.rate(50, 60)


def test_a_storm_slows_nobody_who_was_never_refused_before() -> None:
    provider = run(None, seconds=40, concurrency=4, latency_s=0.2, storms=[(20, 30)])
    assert provider.calls(20, 30) <= FEW_CALLS_S * 10
    assert provider.rate(32, 40) >= 0.98 * provider.rate(10, 20)
