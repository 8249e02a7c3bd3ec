"""In what do the kinds of servers differ, and in what not?"""

import pytest

from compose.service import fingerprint_of
from consumers.core.batching import BatchLimits
from consumers.providers.profiles import PROFILES, limits_of
from schemas.settings import ProviderSettings, Settings


def configured(kind: str, **given: object) -> ProviderSettings:
    return ProviderSettings.model_validate({"kind": kind, "model": "m", "dimensions": 3, **given})


def test_limits_that_are_not_set_are_those_of_the_kind() -> None:
    assert limits_of(configured("openai")) == BatchLimits(256, 250_000, 2_000_000, 0.02)
    assert limits_of(configured("tei")) == BatchLimits(32, 16_384, 1_000_000, 0.02)


def test_a_limit_that_is_set_wins_and_leaves_the_others() -> None:
    limits = limits_of(configured("tei", max_items=500, linger_ms=5))
    assert limits == BatchLimits(500, 16_384, 1_000_000, 0.005)
    assert limits_of(configured("voyage", max_tokens=9, max_bytes=8)) == BatchLimits(256, 9, 8, 0.02)


@pytest.mark.parametrize("kind", PROFILES)
def test_the_limits_of_a_kind_are_limits(kind: str) -> None:
    limits = limits_of(configured(kind))
    assert 1 <= limits.items <= 2_048
    assert 1_000 <= limits.tokens <= 250_000
    assert 1_000 <= limits.size <= 2_000_000


@pytest.mark.parametrize("kind", PROFILES)
def test_how_a_model_is_reached_does_not_make_its_vectors_others(kind: str) -> None:
    fingerprints = [fingerprint_of(Settings(provider=configured(one))) for one in (kind, "openai")]
    assert fingerprints[0] == fingerprints[1]
    assert fingerprints[0].provider == "openai"
