"""Where does a call go, and what does it say?"""

from collections.abc import Sequence
from urllib.parse import quote

import orjson
from yarl import URL

from consumers.providers.profiles import Profile
from schemas.errors import InputRejected, ProviderMisconfigured

VERSIONED = "v1"


def endpoint(profile: Profile, base_url: str, model: str) -> URL:
    """Return the address of the embeddings of *model*, with the query of *base_url*.

    Raises ProviderMisconfigured where *base_url* is no address, or has a user in it.
    """
    try:
        url = URL(base_url)
        if url.scheme in {"http", "https"} and url.host and not url.user and not url.password:
            return _routed(profile, url, model)
    except ValueError:
        pass
    raise ProviderMisconfigured("provider.base_url is to be http://host/v1 or https://host/v1, without a user in it")


def body(profile: Profile, model: str, texts: Sequence[str], dimensions: int | None) -> bytes:
    """Return the request for the vectors of *texts*, of so many *dimensions* where they can be chosen.

    Raises InputRejected where a text can not be written as JSON.
    """
    request: dict[str, object] = {profile.texts: texts, **profile.fixed}
    if profile.model:
        request[profile.model] = model
    if profile.encoding:
        request[profile.encoding] = "base64"
    if profile.dimensions and dimensions:
        request[profile.dimensions] = dimensions
    try:
        return orjson.dumps(request, default=list)
    except orjson.JSONEncodeError as error:
        raise InputRejected(f"a text can not be written as JSON: {error}") from None


def _routed(profile: Profile, url: URL, model: str) -> URL:
    given = [part for part in url.raw_parts if part not in {"", "/"}]
    route, defaults = profile.route.split("/"), profile.query
    if given[-1:] == [VERSIONED]:
        if profile.own_route:
            given.pop()
        else:
            route, defaults = ["embeddings"], {}
    missing = [quote(part.format(model=model), safe="") for part in route[_overlap(given, route) :]]
    query = [*url.query.items(), *((name, value) for name, value in defaults.items() if name not in url.query)]
    return url.origin().joinpath(*given, *missing, encoded=True).with_query(query)


def _overlap(given: Sequence[str], route: Sequence[str]) -> int:
    """Return how many parts of *route* the end of *given* holds already; the model's place takes any name."""

    def agrees(length: int) -> bool:
        pairs = zip(given[-length:], route[:length], strict=True)
        return all(wants in (has, "{model}") for has, wants in pairs)

    return next((length for length in range(min(len(given), len(route)), 0, -1) if agrees(length)), 0)
