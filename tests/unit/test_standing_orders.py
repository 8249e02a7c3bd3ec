"""What has to be done about the orders that stand in the table now?"""

from datetime import UTC, datetime, timedelta

from consumers.core.standing_orders import StandingOrders
from schemas.orders import NO, YES, Allowance, Order, allowance_of, leave_of, pause_of, resume_of

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TODAY = NOON.date()


def pause(value: str) -> Order:
    return Order(pause_of("g"), value, NOON, "ann@desk")


def resume(seconds: int) -> Order:
    return Order(resume_of("g"), YES, NOON + timedelta(seconds=seconds), "ann@desk")


def test_a_pause_stays_until_it_is_taken_back_also_over_a_restart() -> None:
    standing = StandingOrders("g")
    assert "ann@desk" in (standing.read([pause(YES)], TODAY).paused or "")
    assert standing.read([pause(YES)], TODAY).paused is not None
    assert standing.read([pause(NO)], TODAY).paused is None
    assert standing.read([], TODAY).paused is None


def test_a_resume_counts_once() -> None:
    standing = StandingOrders("g")
    told = [standing.read(orders, TODAY).resume for orders in ([], [resume(1)], [resume(1)], [resume(2)])]
    assert told == [False, True, False, True]


def test_a_resume_from_before_our_start_is_no_news() -> None:
    assert not StandingOrders("g").read([resume(1)], TODAY).resume


def test_an_order_to_leave_stands_until_it_is_taken_back_and_says_how() -> None:
    def leave(value: str) -> Order:
        return Order(leave_of("g"), value, NOON, "ann@desk")

    standing = StandingOrders("g")
    away = standing.read([leave(YES)], TODAY).away or ""
    assert "ann@desk" in away
    assert "`headrace resume`" in away
    assert standing.read([leave(NO)], TODAY).away is None
    assert StandingOrders("other").read([leave(YES)], TODAY).away is None


def test_orders_to_another_group_are_none_of_ours() -> None:
    assert StandingOrders("other").read([pause(YES), resume(1)], TODAY).paused is None


def test_an_allowance_lasts_for_the_day_on_which_it_was_told() -> None:
    standing = StandingOrders("g")
    order = Order(allowance_of("g"), '{"tokens":500}', NOON, "ann@desk")
    assert standing.read([order], TODAY).allowance == Allowance(500)
    assert standing.read([order], TODAY + timedelta(days=1)).allowance is None
