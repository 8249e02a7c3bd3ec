"""How long does a reply ask us to wait?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.core.retry_after import retry_after

NOW = 784_111_777.0
"""Sun, 06 Nov 1994 08:49:37 GMT"""


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "20"}, 20.0),
        ({"retry-after": " 20 "}, 20.0),
        ({"RETRY-AFTER": "1.5"}, 1.5),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "86400"}, 86_400.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "Retry-After": "20"}, 0.25),
        ({"retry-after-ms": "soon", "Retry-After": "20"}, 20.0),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:47 GMT"}, 10.0),
        ({"Retry-After": "Sunday, 06-Nov-94 08:49:47 GMT"}, 10.0),
        ({"Retry-After": "Sun Nov  6 08:49:47 1994"}, 10.0),
        ({"Retry-After": "Sun, 06 Nov 1994 09:49:47 +0100"}, 10.0),
        ({"Retry-After": "Sun, 06 Nov 1994 08:00:00 GMT"}, 0.0),
    ],
)
def test_a_wait_is_read_in_every_form(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(headers, NOW) == seconds


def test_a_date_counts_from_the_date_of_the_reply_so_that_clocks_need_not_agree() -> None:
    headers = {"Date": "Fri, 31 Dec 1999 23:59:00 GMT", "Retry-After": "Fri, 31 Dec 1999 23:59:30 GMT"}
    assert retry_after(headers, NOW) == 30.0


def test_a_date_counts_from_now_where_the_reply_has_a_date_that_is_none() -> None:
    assert retry_after({"Date": "today", "Retry-After": "Sun, 06 Nov 1994 08:49:47 GMT"}, NOW) == 10.0


@pytest.mark.parametrize(
    "nonsense",
    ["", "soon", "-1", "nan", "inf", "1e999", "10 seconds", "Sun, 99 Nov 1994", "Sun, 06 Nov 99999999999 08:49:37 GMT"],
)
@pytest.mark.parametrize("name", ["Retry-After", "retry-after-ms"])
def test_nonsense_is_ignored(name: str, nonsense: str) -> None:
    assert retry_after({name: nonsense}, NOW) is None


def test_no_header_asks_for_no_wait() -> None:
    assert retry_after({}, NOW) is None


@given(st.text(), st.text(), st.text())
def test_no_text_whatever_raises(wait: str, milliseconds: str, date: str) -> None:
    told = retry_after({"Retry-After": wait, "retry-after-ms": milliseconds, "Date": date}, NOW)
    assert told is None or told >= 0
