"""How is a secret kept out of what people see?"""

import re

_USER_INFORMATION = re.compile(r"(?<=://)(?P<user>[^:@/?#\s]*):(?P<password>[^\s/?#]*|[^\s]*)(?=@)")
_IN_QUERY = re.compile(r"(?i)(?P<name>[?&](?:[a-z_-]*(?:password|token|secret|key))=)[^&#\s]*")


def masked_url(url: str) -> str:
    """Replace the password of a URL, wherever it stands, by ***: ``postgresql://user:***@host/db``."""
    return _IN_QUERY.sub(r"\g<name>***", _USER_INFORMATION.sub(r"\g<user>:***", url))
