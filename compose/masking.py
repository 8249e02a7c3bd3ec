"""How is a secret kept out of what people see?"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from pydantic import BaseModel, SecretStr

from schemas.settings import Settings

MASK = "***"
SHORTEST = 4
"""A shorter secret would tear holes into ordinary words, and is found out without our help."""

SECRET_FILES = ("sasl_password_file", "api_key_file")

_USER_INFORMATION = re.compile(r"(?<=://)(?P<user>[^:@/?#\s]*):[^/?#\s\"']*(?=@)")
_ANYTHING_BEFORE_AN_AT = re.compile(r"(?<=://)(?P<user>[^:@/?#\s]*):.*(?=@)", re.DOTALL)
_IN_QUERY = re.compile(r"(?i)(?P<name>[?&](?:[a-z_-]*(?:password|token|secret|key))=)[^&#\s\"']*")


def masked_url(text: str) -> str:
    """Replace the password of every URL in a text by ***, wherever it stands: ``postgresql://user:***@host/db``."""
    if "://" not in text:
        return text
    return _IN_QUERY.sub(rf"\g<name>{MASK}", _USER_INFORMATION.sub(rf"\g<user>:{MASK}", text))


def masked_secret(secret: str) -> str:
    """Return what may be shown of a secret: of a URL all but its password, of anything else nothing.

    People forget to quote the / in a password, so everything up to the last @ is taken for it.
    """
    return masked_url(_ANYTHING_BEFORE_AN_AT.sub(rf"\g<user>:{MASK}", secret)) if "://" in secret else MASK


def masker(settings: Settings) -> Callable[[str], str]:
    """Return what takes the configured secrets out of a text, and the password out of any URL.

    A secret that stands in a file is known as it is now: whoever reads the file again later keeps it to himself.
    """
    known = {form for secret in _secrets(settings) for form in (secret, quote(secret, safe=""), unquote(secret))}
    found = re.compile("|".join(re.escape(one) for one in sorted(known, key=len, reverse=True) if len(one) >= SHORTEST))

    def mask(text: str) -> str:
        return masked_url(found.sub(MASK, text) if found.pattern else text)

    return mask


def _secrets(section: BaseModel) -> Iterator[str]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _secrets(value)
        elif isinstance(value, SecretStr):
            text = value.get_secret_value()
            yield _password(text) or "" if "://" in text else text
        elif isinstance(value, str) and name in SECRET_FILES:
            yield _read(Path(value))
        elif isinstance(value, str) and "://" in value:
            yield _password(value) or ""


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
