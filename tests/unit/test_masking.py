"""Secrets are taken out of whatever is logged."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from compose.masking import masked_secret, masked_url, masker
from schemas.settings import KafkaSettings, ProviderSettings, Settings, StoreSettings


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:p@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("postgresql://u@h/d?password=p&x=1", "postgresql://u@h/d?password=***&x=1"),
        ("see http://a:b@c and https://d:e@f.", "see http://a:***@c and https://d:***@f."),
        ("http://h:8080/a?access_token=t#x", "http://h:8080/a?access_token=***#x"),
        ("http://127.0.0.1:8321/status asked by me@home", "http://127.0.0.1:8321/status asked by me@home"),
        ("no address at all: x:y@z", "no address at all: x:y@z"),
    ],
)
def test_the_password_of_any_url_in_a_text_is_masked_and_nothing_else(text: str, shown: str) -> None:
    assert masked_url(text) == shown


def test_of_a_secret_only_an_address_is_shown() -> None:
    assert masked_secret("abc") == "***"
    assert masked_secret("postgresql://u:a/b@c@h/d") == "postgresql://u:***@h/d"


def test_every_configured_secret_is_masked_wherever_it_stands(folder: Path) -> None:
    (folder / "key").write_text("key-in-a-file\n", "utf-8")
    settings = Settings(
        kafka=KafkaSettings(sasl_password=SecretStr("kafka-secret"), ssl_key_password=SecretStr("key-secret")),
        provider=ProviderSettings(api_key_file=str(folder / "key"), base_url="http://me:url-secret@h/v1"),
        store=StoreSettings(dsn=SecretStr("postgresql://u:p%40ss-word@h/d")),
    )
    mask = masker(settings)
    for secret in ("kafka-secret", "key-secret", "key-in-a-file", "url-secret", "p%40ss-word", "p@ss-word"):
        assert mask(f"refused: {secret}!") == "refused: ***!"
    assert mask("postgresql://u:p%40ss-word@h/d and the rest") == "postgresql://u:***@h/d and the rest"


def test_without_secrets_a_text_stays_as_it_is() -> None:
    assert masker(Settings())("nothing to hide") == "nothing to hide"
