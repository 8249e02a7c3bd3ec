"""Where does a call go?"""

import pytest

from consumers.providers.profiles import PROFILES
from consumers.providers.request import endpoint
from schemas.errors import ProviderMisconfigured

DEPLOYED = "https://r.openai.azure.com/openai/deployments"
VERSION = "api-version=2024-10-21"


@pytest.mark.parametrize(
    ("kind", "base_url", "address"),
    [
        ("openai", "http://h/v1", "http://h/v1/embeddings"),
        ("openai", "http://h:81/v1/", "http://h:81/v1/embeddings"),
        ("openai", "http://h/openai/v1?a=1&a=2", "http://h/openai/v1/embeddings?a=1&a=2"),
        ("openai", "http://h/a%2Fb/v1", "http://h/a%2Fb/v1/embeddings"),
        ("openai", "http://h", "http://h/embeddings"),
        ("azure", "https://r.openai.azure.com", f"{DEPLOYED}/m%2F1/embeddings?{VERSION}"),
        ("azure", "https://r.openai.azure.com/", f"{DEPLOYED}/m%2F1/embeddings?{VERSION}"),
        ("azure", "https://r.openai.azure.com/openai", f"{DEPLOYED}/m%2F1/embeddings?{VERSION}"),
        ("azure", f"{DEPLOYED}/mine", f"{DEPLOYED}/mine/embeddings?{VERSION}"),
        ("azure", f"{DEPLOYED}/mine/embeddings", f"{DEPLOYED}/mine/embeddings?{VERSION}"),
        ("azure", f"{DEPLOYED}/mine?api-version=2023-05-15", f"{DEPLOYED}/mine/embeddings?api-version=2023-05-15"),
        ("azure", "https://r.openai.azure.com/openai/v1/", "https://r.openai.azure.com/openai/v1/embeddings"),
        ("tei", "http://h:8080", "http://h:8080/embed"),
        ("tei", "http://h:8080/v1", "http://h:8080/embed"),
        ("tei", "http://h/below/v1/", "http://h/below/embed"),
        ("ollama", "http://h:11434/v1", "http://h:11434/api/embed"),
        ("ollama", "http://h:11434/api", "http://h:11434/api/embed"),
        ("infinity", "http://h:7997", "http://h:7997/embeddings"),
    ],
)
def test_an_address_is_the_base_url_and_what_it_lacks_of_the_route(kind: str, base_url: str, address: str) -> None:
    assert str(endpoint(PROFILES[kind], base_url, "m/1")) == address


@pytest.mark.parametrize("base_url", ["ftp://h/v1", "h/v1", "http://", "http://me:secret@h/v1", "http://h:port/v1"])
def test_what_is_no_address_is_misconfigured_and_not_repeated(base_url: str) -> None:
    with pytest.raises(ProviderMisconfigured) as caught:
        endpoint(PROFILES["openai"], base_url, "m")
    assert "secret" not in str(caught.value)
