"""May more be taken in?"""

from consumers.core.budget import InFlightBudget


def test_intake_stops_before_the_budget_is_passed_and_goes_on_below_seven_eighths_of_it() -> None:
    budget = InFlightBudget(80, 100)
    for _ in range(19):
        assert not budget.is_full()
        budget.take(4)
    budget.take(3)
    assert budget.is_full()
    budget.release(8, 2)
    assert budget.is_full()
    budget.release(4)
    assert not budget.is_full()


def test_the_number_of_documents_is_bounded_as_their_bytes_are() -> None:
    budget = InFlightBudget(1000, 2)
    budget.take(0)
    budget.take(0)
    assert budget.is_full()


def test_one_document_is_admitted_however_large() -> None:
    budget = InFlightBudget(10, 5)
    assert not budget.is_full()
    budget.take(1_000_000)
    assert budget.is_full()
    budget.release(1_000_000)
    assert not budget.is_full()


def test_chunks_count_when_a_document_turns_out_to_have_them() -> None:
    budget = InFlightBudget(100, 5)
    budget.take(40)
    budget.grow(60)
    assert budget.is_full()
    budget.release(100)
    assert (budget.size, budget.documents) == (0, 0)


def test_the_first_poll_brings_one_and_others_what_fits_if_it_is_like_what_is_in_flight() -> None:
    budget = InFlightBudget(1000, 100)
    assert budget.room == 1
    budget.take(40, 4)
    assert budget.room == 96
    budget.grow(360)
    assert (budget.each, budget.room) == (100, 6)
    budget.release(400, 4)
    assert budget.room == 10


def test_a_poll_may_always_bring_one() -> None:
    budget = InFlightBudget(10, 1)
    budget.take(1)
    assert budget.room == 1
    budget.take(20)
    assert budget.room_bytes == 1


def test_clearing_says_how_many_were_abandoned() -> None:
    budget = InFlightBudget(10, 5)
    budget.take(3)
    budget.take(3)
    assert budget.clear() == 2
    assert (budget.size, budget.documents) == (0, 0)
