"""How is a secret kept out of what people see?"""

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from schemas.settings import Settings

_USER_INFORMATION = re.compile(r"(?<=://)(?P<user>[^:@/?#\s]*):(?P<password>[^\s/?#]*|[^\s]*)(?=@)")
_IN_QUERY = re.compile(r"(?i)(?P<name>[?&](?:[a-z_-]*(?:password|token|secret|key))=)[^&#\s]*")


def masked_url(url: str) -> str:
    """Replace the password of a URL, wherever it stands, by ***: ``postgresql://user:***@host/db``."""
    return _IN_QUERY.sub(r"\g<name>***", _USER_INFORMATION.sub(r"\g<user>:***", url))


def masker(settings: Settings) -> Callable[[str], str]:
    """Return what takes every secret of these settings out of a text, the password of a DSN included."""
    secrets = sorted(set(_secrets(settings)), key=len, reverse=True)

    def mask(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return text

    return mask


def _secrets(section: BaseModel) -> Iterator[str]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _secrets(value)
        elif isinstance(value, SecretStr) and (text := value.get_secret_value()):
            password = urlsplit(text).password if "://" in text else text
            if password:
                yield password
