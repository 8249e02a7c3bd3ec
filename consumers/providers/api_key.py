"""Which key goes with a call, and how is it kept out of everything else?"""

from pathlib import Path
from urllib.parse import quote

from pydantic import SecretStr

from schemas.errors import ProviderMisconfigured

HIDDEN = "***"


class ApiKey:
    """A key from the settings or from a file, which is read again when it changes: keys rotate."""

    def __init__(self, key: SecretStr | None, file: str | None) -> None:
        """Take the file where both are given: it can change."""
        self._path = Path(file) if file else None
        self._seen: tuple[int, int, int] | None = None
        self._key = _usable(key.get_secret_value().encode(), "provider.api_key") if key and not file else ""

    def __repr__(self) -> str:
        return f"ApiKey({self._path or HIDDEN})"

    def value(self) -> str:
        """Return the key of this moment, empty where none is configured; raise ProviderMisconfigured if unreadable."""
        if self._path:
            self._refresh(self._path)
        return self._key

    def scrub(self, text: str) -> str:
        """Return *text* without the key."""
        if not self._key:
            return text
        return text.replace(self._key, HIDDEN).replace(quote(self._key, safe=""), HIDDEN)

    def _refresh(self, path: Path) -> None:
        try:
            stat = path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return
            raw = path.read_bytes()
        except OSError as error:
            raise ProviderMisconfigured(f"provider.api_key_file can not be read: {error}") from error
        self._key = _usable(raw, f"provider.api_key_file {path}")
        self._seen = seen


def _usable(raw: bytes, where: str) -> str:
    """Return the key as it goes into a header; a message about it never shows it."""
    key = raw.strip().decode("ascii", "replace")
    if not key:
        raise ProviderMisconfigured(f"{where} is empty")
    if not (key.isascii() and key.isprintable()):
        raise ProviderMisconfigured(f"{where} holds characters that no key can have")
    return key
