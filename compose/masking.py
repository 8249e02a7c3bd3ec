"""How is a secret kept out of what people see?"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from pydantic import SecretStr

from schemas.settings import Settings

MASK = "***"
SHORTEST = 4
"""A shorter secret would tear holes into ordinary words, and is found out without our help."""

_USER_INFORMATION = re.compile(r"(?<=://)(?P<user>[^:@/?#\s]*):[^\s\"']*(?=@)")
_IN_QUERY = re.compile(r"(?i)(?P<name>[?&](?:[a-z_-]*(?:password|token|secret|key))=)[^&#\s\"']*")


def masked_url(url: str) -> str:
    """Replace the password of every URL in a text by ***, wherever it stands: ``postgresql://user:***@host/db``."""
    if "://" not in url:
        return url
    return _IN_QUERY.sub(rf"\g<name>{MASK}", _USER_INFORMATION.sub(rf"\g<user>:{MASK}", url))


def masker(settings: Settings) -> Callable[[str], str]:
    """Return what takes the configured secrets out of a text, and the password out of any URL.

    A secret that stands in a file is known as it is now: whoever reads the file again later keeps it to himself.
    """
    known = {form for secret in _secrets(settings) for form in (secret, quote(secret, safe=""), unquote(secret))}
    found = re.compile("|".join(re.escape(one) for one in sorted(known, key=len, reverse=True) if len(one) >= SHORTEST))

    def mask(text: str) -> str:
        return masked_url(found.sub(MASK, text) if found.pattern else text)

    return mask


def _secrets(settings: Settings) -> Iterator[str]:
    kafka, provider = settings.kafka, settings.provider
    for secret in (kafka.sasl_password, kafka.ssl_key_password, provider.api_key):
        if isinstance(secret, SecretStr):
            yield secret.get_secret_value()
    for file in (kafka.sasl_password_file, provider.api_key_file):
        if file is not None and (text := _read(Path(file))):
            yield text
    urls = [settings.store.dsn.get_secret_value() if settings.store.dsn else "", provider.base_url or ""]
    for url in urls:
        if password := _password(url):
            yield password


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:
        return None
