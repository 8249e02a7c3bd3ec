"""A static id that two processes use is told from the losses of ordinary life."""

from consumers.core.membership import WITHIN_S, Membership


def losing(*times: float, instance_id: str | None = "one") -> Membership:
    membership = Membership(instance_id)
    for time in times:
        membership.lost(time)
    return membership


def test_three_losses_within_a_minute_name_the_id() -> None:
    assert losing(0, 30).contested(30) is None
    assert "kafka.instance_id = 'one'" in (losing(0, 30, 59).contested(59) or "")


def test_losses_that_are_spread_are_normal_life() -> None:
    assert losing(0, 40, 80, 120, 160).contested(160) is None


def test_it_is_over_when_a_minute_has_passed_without_one() -> None:
    membership = losing(0, 1, 2, 3)
    assert membership.contested(1 + WITHIN_S) is not None
    assert membership.contested(1.1 + WITHIN_S) is None


def test_a_member_without_a_static_id_is_never_contested() -> None:
    assert losing(0, 1, 2, instance_id=None).contested(2) is None
