"""In what do the servers of the OpenAI-shaped family differ? One row each.

A text that a server cuts silently gets the vector of another text, so where a server can be told to refuse instead,
it is told so; Ollama and TEI listen to that on their own routes only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from consumers.core.batching import BatchLimits
from consumers.core.vectors import Shape
from schemas.settings import ProviderSettings


@dataclass(frozen=True, slots=True)
class Profile:
    """How one kind of server is called; the defaults are OpenAI's own.

    ``route`` is appended to ``base_url``, less what that ends with already; ``{model}`` in it is the model's name.
    Where ``base_url`` ends with ``/v1`` it is ``/embeddings`` that is appended, or with ``own_route`` the ``/v1`` is
    dropped. A field with the name None is not sent; without ``encoding`` the vectors come as decimal numbers. ``cuts``
    says that a text too long for the model is cut whatever is sent.

    ``items``, ``tokens`` (counted as bytes/4, which other tokenizers exceed) and ``size`` are the limits of a call
    where none are configured. ``family`` goes into the fingerprint of an index: how a model is reached does not change
    its vectors, so servers of one family are one there.
    """

    route: str = "embeddings"
    own_route: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    key_header: str = "Authorization"
    key_prefix: str = "Bearer "
    texts: str = "input"
    model: str | None = "model"
    dimensions: str | None = "dimensions"
    encoding: str | None = "encoding_format"
    fixed: Mapping[str, object] = field(default_factory=dict)
    shape: Shape = Shape.DATA
    cuts: bool = False
    items: int = 256
    tokens: int = 250_000
    size: int = 2_000_000
    family: str = "openai"


PROFILES: Mapping[str, Profile] = {
    # 2,048 inputs and 300,000 tokens a call.
    "openai": Profile(),
    # The model is the name of a deployment. Old ones take 16 inputs, or 1: that is learned from their refusals.
    "azure": Profile(
        route="openai/deployments/{model}/embeddings",
        query={"api-version": "2024-10-21"},
        key_header="api-key",
        key_prefix="",
    ),
    # 1,000 inputs; 120,000 tokens for the models with the lowest limit.
    "voyage": Profile(dimensions="output_dimension", fixed={"truncation": False}, tokens=100_000),
    # 512 inputs, 16,384 tokens by the strictest count; numbers in decimal are what every version writes.
    "mistral": Profile(dimensions="output_dimension", encoding=None, tokens=12_000),
    # What a call may hold depends on the account.
    "jina": Profile(encoding="embedding_type", fixed={"truncate": False}, tokens=100_000),
    # --max-client-batch-size is 32, a body has at most 2 MB once it is written as JSON; /v1/embeddings would cut.
    "tei": Profile(
        route="embed",
        own_route=True,
        texts="inputs",
        model=None,
        encoding=None,
        fixed={"truncate": False},
        shape=Shape.ROWS,
        items=32,
        tokens=16_384,
        size=1_000_000,
    ),
    # It embeds one text after the other: a call ends within its time. /v1/embeddings would cut.
    "ollama": Profile(
        route="api/embed",
        own_route=True,
        encoding=None,
        fixed={"truncate": False},
        shape=Shape.EMBEDDINGS,
        items=32,
        tokens=16_384,
    ),
    "vllm": Profile(),
    "infinity": Profile(cuts=True),
    # It has no dimensions to choose. Every input has to fit into --ubatch-size.
    "llama.cpp": Profile(dimensions=None, items=64, tokens=32_768),
}
"""By the name that ``provider.kind`` gives."""


def profile_of(settings: ProviderSettings) -> Profile:
    """Return the profile of the configured kind of server."""
    return PROFILES[settings.kind]


def limits_of(settings: ProviderSettings) -> BatchLimits:
    """Return what one call may hold: what is configured, else what the kind of server takes."""
    profile = profile_of(settings)
    return BatchLimits(
        items=settings.max_items or profile.items,
        tokens=settings.max_tokens or profile.tokens,
        size=settings.max_bytes or profile.size,
        linger_s=settings.linger_ms / 1000,
    )
