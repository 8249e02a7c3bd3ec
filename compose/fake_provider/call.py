"""What does a request ask for?"""

from typing import Annotated, Literal

import msgspec

from consumers.providers.deterministic import digest_of

BYTES_A_TOKEN = 4


class Request(msgspec.Struct):
    """The body of a request."""

    input: str | list[str]
    model: str = ""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, msgspec.Meta(gt=0, le=65_536)] | None = None


class Call:
    """One request for embeddings, its texts hashed once for their vectors and for the books."""

    def __init__(self, body: bytes, dimensions: int) -> None:
        """Raise msgspec.MsgspecError where the body is no such request."""
        request = _decoder.decode(body)
        self.texts = [request.input] if isinstance(request.input, str) else request.input
        self.model = request.model
        self.floats = request.encoding_format == "float"
        self.dimensions = request.dimensions or dimensions
        self.tokens = sum(max(1, len(text) // BYTES_A_TOKEN) for text in self.texts)
        self.digests = [digest_of(text) for text in self.texts]


_decoder = msgspec.json.Decoder(Request)
