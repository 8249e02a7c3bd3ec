"""Are these dead letters the documents' fault, or is something wrong with all of them?"""

import random

from consumers.core.flood import FloodGuard, Judgement
from consumers.core.quarantine import Quarantine
from schemas.settings import FloodSettings

SETTINGS = FloodSettings()


def guard(outcomes: str, now: float = 0.0) -> FloodGuard:
    """Return a guard that has seen this, a dot for a good message and an x for a candidate."""
    watching = FloodGuard(SETTINGS)
    for outcome in outcomes:
        watching.candidate(now) if outcome == "x" else watching.resolved(1)
    return watching


def test_a_single_candidate_is_held_for_two_seconds_and_then_written() -> None:
    watching = guard("x")
    assert watching.judge(1.9) is Judgement.WAIT
    assert watching.until_due(0.5) == 1.5
    assert watching.judge(2.0) is Judgement.WRITE
    assert watching.until_due(2.0) is None


def test_twenty_candidates_of_which_few_of_all_are_written_at_once() -> None:
    outcomes = ["x"] * 20 + ["."] * 60
    random.Random(1).shuffle(outcomes)
    assert guard("".join(outcomes)).judge(0.0) is Judgement.WRITE


def test_half_of_the_window_is_a_flood_before_anything_is_written() -> None:
    assert guard("x." * 20).judge(0.0) is Judgement.FLOOD


def test_fewer_than_twenty_are_no_flood_whatever_their_share() -> None:
    assert guard("x" * 19).judge(2.0) is Judgement.WRITE


def test_fifty_in_a_row_are_a_flood_whatever_went_before() -> None:
    watching = FloodGuard(FloodSettings(window=1000, ratio=1.0))
    watching.resolved(900)
    for _ in range(49):
        watching.candidate(0.0)
    assert watching.judge(0.0) is Judgement.WRITE
    watching.candidate(0.0)
    assert watching.judge(0.0) is Judgement.FLOOD


def test_a_flood_lasts_until_an_operator_ends_it_and_then_the_window_is_fresh() -> None:
    watching = guard("x" * 60)
    assert watching.judge(0.0) is Judgement.FLOOD
    watching.resolved(100)
    assert watching.judge(100.0) is Judgement.FLOOD
    watching.reset()
    watching.candidate(200.0)
    assert watching.judge(202.0) is Judgement.WRITE


def test_a_flood_in_decoding_is_that_partitions_own() -> None:
    quarantine: Quarantine[str] = Quarantine(SETTINGS)
    for n in range(60):
        quarantine.hold(1, f"bad {n}", 0.0)
    quarantine.hold(2, "alone", 0.0)
    assert quarantine.judge(2.0) == ["alone"]
    assert quarantine.floods() == {1: 60}
    assert len(quarantine) == 60
    assert not quarantine.waiting


def test_resuming_writes_what_was_held_in_order() -> None:
    quarantine: Quarantine[int] = Quarantine(SETTINGS)
    for n in range(60):
        quarantine.hold(None, n, 0.0)
    assert quarantine.judge(0.0) == []
    assert quarantine.resume() == list(range(60))
    assert quarantine.floods() == {}


def test_giving_partitions_up_drops_their_verdicts_and_keeps_a_flood_of_everybodys() -> None:
    quarantine: Quarantine[int] = Quarantine(SETTINGS)
    for n in range(60):
        quarantine.hold(None, n, 0.0)
        quarantine.hold(3, n, 0.0)
    quarantine.judge(0.0)
    quarantine.forget()
    assert quarantine.floods() == {None: 0}
    assert quarantine.resume() == []
