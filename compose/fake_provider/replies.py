"""What does a success look like, and how can it be spoilt?"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson

from compose.fake_provider.behaviour import Fault
from compose.fake_provider.call import Call
from compose.fake_provider.due import Rehearsal, concerned
from consumers.providers.deterministic import base64_of, floats_of

OUT_OF_RANGE = 1_000_000


@dataclass(slots=True)
class Reply:
    """A reply in the making: ``embeddings`` are JSON, ``index`` says which text each claims to be of."""

    embeddings: list[bytes]
    index: list[int | None] = field(default_factory=list)
    usage: bytes = b""

    def items(self) -> list[bytes]:
        """Write the items of ``data``."""
        return [
            b'{"object":"embedding","embedding":%b}' % embedding
            if place is None
            else b'{"object":"embedding","index":%d,"embedding":%b}' % (place, embedding)
            for place, embedding in zip(self.index, self.embeddings, strict=True)
        ]


def answer(call: Call, struck: Sequence[Fault], rehearsal: Rehearsal) -> bytes:
    """Write the body of a success, spoilt by the faults that struck."""
    kinds = {fault.kind for fault in struck}
    floats = call.floats or "floats" in kinds
    reply = Reply(_embeddings(call.digests, call.dimensions, floats=floats), list(range(len(call.texts))))
    reply.usage = b'{"prompt_tokens":%d,"total_tokens":%d}' % (call.tokens, call.tokens)
    for fault in struck:
        for place in concerned(fault, call):
            reply.embeddings[place] = _spoilt(fault.kind, call.digests[place], call.dimensions, floats=floats)
        if fault.kind in SHAPES:
            SHAPES[fault.kind](reply)
    items = reply.items()
    if "shuffled" in kinds:
        rehearsal.shuffle(items)
    body = b'{"object":"list","data":[%b],"model":%b%b}' % (
        b",".join(items),
        orjson.dumps(call.model),
        b',"usage":' + reply.usage if reply.usage else b"",
    )
    for kind in BODIES.keys() & kinds:
        body = BODIES[kind](body)
    return body


def _embeddings(digests: Sequence[bytes], dimensions: int, *, floats: bool) -> list[bytes]:
    if floats:
        return [orjson.dumps(vector) for vector in floats_of(digests, dimensions)]
    return [b'"%b"' % text for text in base64_of(digests, dimensions)]


def _spoilt(kind: str, digest: bytes, dimensions: int, *, floats: bool) -> bytes:
    """Return one embedding that nobody should store."""
    if kind in LENGTHS:
        return _embeddings([digest], LENGTHS[kind](dimensions), floats=floats)[0]
    if kind == "ragged":
        return b'"%b"' % b64encode(bytes(4 * dimensions - 1))
    vector = np.full(dimensions, NUMBERS[kind], "<f4")
    vector[: dimensions // 2] *= 1 if kind == "zero" else 0.5
    if floats:
        return orjson.dumps(vector.tolist())  # null where JSON has no word for a number
    return b'"%b"' % b64encode(vector.tobytes())


NUMBERS = {"nan": np.nan, "infinite": np.inf, "zero": 0.0}
LENGTHS: dict[str, Callable[[int], int]] = {"short": lambda dimensions: max(1, dimensions - 1)}


def _no_index(reply: Reply) -> None:
    reply.index = [None] * len(reply.index)


def _mixed_index(reply: Reply) -> None:
    reply.index = [place if i % 2 else None for i, place in enumerate(reply.index)]


def _repeated_index(reply: Reply) -> None:
    reply.index[-1] = reply.index[0]


def _index_out_of_range(reply: Reply) -> None:
    reply.index[-1] = OUT_OF_RANGE


def _missing_vector(reply: Reply) -> None:
    reply.index.pop()
    reply.embeddings.pop()


def _extra_vector(reply: Reply) -> None:
    reply.index.append(len(reply.index))
    reply.embeddings.append(reply.embeddings[-1])


def _no_usage(reply: Reply) -> None:
    reply.usage = b""


SHAPES: dict[str, Callable[[Reply], None]] = {
    "no-index": _no_index,
    "mixed-index": _mixed_index,
    "repeated-index": _repeated_index,
    "index-out-of-range": _index_out_of_range,
    "missing-vector": _missing_vector,
    "extra-vector": _extra_vector,
    "no-usage": _no_usage,
}


def _truncated_json(body: bytes) -> bytes:
    return body[: len(body) // 2]


def _wrong_shape(body: bytes) -> bytes:
    return b'{"embeddings":%b}' % body


def _not_json(body: bytes) -> bytes:
    return b"<html><body>%d bytes would have been here</body></html>" % len(body)


def _error_in_success(_: bytes) -> bytes:
    return b'{"error":{"message":"upstream is away","type":"server_error","code":502}}'


BODIES: dict[str, Callable[[bytes], bytes]] = {
    "truncated-json": _truncated_json,
    "wrong-shape": _wrong_shape,
    "not-json": _not_json,
    "error-in-success": _error_in_success,
}
