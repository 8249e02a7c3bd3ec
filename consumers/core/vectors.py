"""Which vector of a reply belongs to which text, and is it fit to be stored?

The base64 strings are lifted out of the body, so that msgspec has little to read; pybase64 reads all of them at once
where none is padded, many bytes an instruction, and numpy looks at the whole batch and swaps its bytes once.
"""

import re
import struct
from collections import Counter
from collections.abc import Sequence
from enum import Enum, auto

import msgspec
import numpy as np
import pybase64

from schemas.errors import MalformedReply, ProviderMisconfigured

FLOAT_BYTES = 4

Written = msgspec.Raw | memoryview
"""A vector as it stands in the body; a base64 string that was lifted out of it without its quotes, as a memoryview."""


class Unpacked(msgspec.Struct, frozen=True):
    """Entry i is text i's vector, packed as big-endian float32, or None where ``faults`` says why it is unusable.

    ``tokens`` is what the provider says it billed, None where it says nothing usable.
    """

    vectors: list[bytes | None]
    faults: dict[int, str]
    tokens: int | None


class Shape(Enum):
    """Where the vectors stand in a reply."""

    DATA = auto()
    """As OpenAI writes them: ``{"data": [{"index": 0, "embedding": ...}], "usage": {...}}``"""
    EMBEDDINGS = auto()
    """In the order of the texts: ``{"embeddings": [[...]], "prompt_eval_count": 7}``"""
    ROWS = auto()
    """In the order of the texts, and nothing else: ``[[...]]``"""


class _Item(msgspec.Struct, gc=False):
    embedding: msgspec.Raw
    index: int | None = None


class _Body(msgspec.Struct):
    data: list[_Item]
    usage: msgspec.Raw = msgspec.Raw()


class _Embeddings(msgspec.Struct):
    embeddings: list[msgspec.Raw]


class _Usage(msgspec.Struct):
    total_tokens: int | None = None
    prompt_tokens: int | None = None
    prompt_eval_count: int | None = None


_body = msgspec.json.Decoder(_Body)
_embeddings = msgspec.json.Decoder(_Embeddings)
_rows = msgspec.json.Decoder(list[msgspec.Raw])
# Some servers write null where a number was not finite.
_embedding = msgspec.json.Decoder(bytes | list[float | None])
_BEGIN = re.compile(rb'"embedding"\s*:\s*"')
_EMPTY = msgspec.Raw(b'""')
_BETWEEN = 4096
"""So many bytes may lie between two base64 strings; more are no reply to take apart by hand."""
_usage = msgspec.json.Decoder(_Usage)


def unpack(
    body: bytes, count: int, dimensions: int | None, *, shape: Shape = Shape.DATA, blame_items: bool = False
) -> Unpacked:
    """Read the vectors of *count* texts from the body of a reply.

    An ``embedding`` may be base64 of little-endian float32 or a list of numbers, also mixed. With *dimensions* None
    the length that most vectors have is the right one. Where every vector has the wrong length the model or the
    setting is wrong and not the texts, unless *blame_items* says that this is known to be otherwise.

    Raises MalformedReply where the body is no answer to *count* texts, ProviderMisconfigured for a wrong length.
    """
    try:
        written, indices, usage = _read(body, shape)
        written = _in_order(written, indices, count)
        width = FLOAT_BYTES * dimensions if dimensions else 0
        if width and (joined := _all_at_once(written, width)) is not None:
            faults: dict[int, str] = {}
            return Unpacked(_checked(joined, width, range(count), faults), faults, _tokens(usage))
        packed = [_little_endian(embedding) for embedding in written]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedReply(f"the reply is no list of vectors: {error}") from error
    width = width or Counter(map(len, packed)).most_common(1)[0][0]
    faults = {i: _length_fault(len(vector), width) for i, vector in enumerate(packed) if len(vector) != width}
    if width % FLOAT_BYTES or not width:
        faults = {i: _length_fault(len(vector), width) for i, vector in enumerate(packed)}
    if len(faults) == count and not blame_items:
        raise ProviderMisconfigured(
            f"every vector has the wrong length ({faults[0]}): provider.dimensions does not fit the model"
        )
    sound = [i for i in range(count) if i not in faults]
    found: list[bytes | None] = [None] * count
    if sound:
        checked = _checked(b"".join([packed[i] for i in sound]), width, sound, faults)
        for i, vector in zip(sound, checked, strict=True):
            found[i] = vector
    return Unpacked(found, faults, _tokens(usage))


def _read(body: bytes, shape: Shape) -> tuple[Sequence[Written], list[int | None], bytes | msgspec.Raw]:
    """Return the vectors of a reply, the indices they have, and where in it the tokens are counted."""
    match shape:
        case Shape.DATA:
            if (lifted := _lifted(body)) is not None:
                return lifted
            reply = _body.decode(body)
            return [item.embedding for item in reply.data], [item.index for item in reply.data], reply.usage
        case Shape.EMBEDDINGS:
            return _embeddings.decode(body).embeddings, [], body
        case Shape.ROWS:
            return _rows.decode(body), [], b""


def _lifted(body: bytes) -> tuple[list[memoryview], list[int | None], msgspec.Raw] | None:
    """Read a body without its base64 strings, and those by themselves; None where that is not possible.

    They are nearly all of it, hold no quote, and looking for one is many times faster than reading JSON.
    """
    strings: list[memoryview] = []
    rest: list[bytes] = []
    whole, end = memoryview(body), 0
    while (found := _BEGIN.search(body, end, end + _BETWEEN)) is not None:
        begin, before = found.end(), end
        end = body.find(b'"', begin)
        if end < 0:
            return None
        rest.append(body[before:begin])
        strings.append(whole[begin:end])
    if not strings:
        return None
    rest.append(body[end:])
    try:
        reply = _body.decode(b"".join(rest))
    except msgspec.MsgspecError:
        return None
    if [item.embedding for item in reply.data] != [_EMPTY] * len(strings):
        return None  # some are not of an item, or no strings
    return strings, [item.index for item in reply.data], reply.usage


def _all_at_once(written: Sequence[Written], width: int) -> bytes | None:
    """Read base64 strings of *width* bytes each, one behind the other; None where they are to be read one by one.

    Without padding, which three bytes times a whole number do not need, the strings together are one string.
    """
    if width % 3 or {*map(type, written)} != {memoryview} or {*map(len, written)} != {width // 3 * 4}:
        return None
    try:
        joined = pybase64.b64decode(b"".join(written), validate=True)
    except ValueError:
        return None
    return joined if len(joined) == width * len(written) else None


def _little_endian(written: Written) -> bytes:
    if type(written) is memoryview:
        try:
            return pybase64.b64decode(written, validate=True)
        except ValueError:  # what else a string may be: escaped, which JSON allows, or no base64
            written = msgspec.Raw(b'"' + written + b'"')
    read = _embedding.decode(written)
    if isinstance(read, bytes):
        return read
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, which is looked for later
        return np.array(read, "<f4").tobytes()


def _in_order(written: Sequence[Written], indices: Sequence[int | None], count: int) -> Sequence[Written]:
    """Put the vectors at the places of their texts: by index when every one has one, by position when none has."""
    if len(written) != count:
        raise MalformedReply(f"the reply holds {len(written)} vectors for {count} texts")
    places = [index for index in indices if index is not None]
    if not places or places == list(range(count)):
        return written
    if len(places) != count:
        raise MalformedReply(f"only {len(places)} of {count} vectors say which text they belong to")
    ordered = dict(zip(places, written, strict=True))
    if len(ordered) != count:
        raise MalformedReply("several vectors claim to belong to the same text")
    strange = [place for place in places if not 0 <= place < count]
    if strange:
        raise MalformedReply(f"a vector claims to belong to text {strange[0]} of {count}, counted from 0")
    return [ordered[place] for place in range(count)]


def _length_fault(size: int, width: int) -> str:
    if size % FLOAT_BYTES:
        return f"{size} bytes are no whole number of float32"
    return f"{size // FLOAT_BYTES} dimensions instead of {width // FLOAT_BYTES}"


def _checked(joined: bytes, width: int, places: Sequence[int], faults: dict[int, str]) -> list[bytes | None]:
    """Return vectors big-endian, None for those without a direction, which are added to *faults* by their *places*."""
    matrix = np.frombuffer(joined, "<f4").reshape(len(places), -1)
    with np.errstate(all="ignore"):
        squares = np.vecdot(matrix, matrix)
    vectors: list[bytes | None] = [*struct.unpack(f"{width}s" * len(places), matrix.astype(">f4").data)]
    # The sum of squares is finite and above 0 for all but strange vectors: only those are looked at one by one.
    for row in np.flatnonzero(~(np.isfinite(squares) & (squares > 0))).tolist():
        fault = _direction_fault(matrix[row])
        if fault:
            faults[places[row]] = fault
            vectors[row] = None
    return vectors


def _direction_fault(vector: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> str | None:
    if not np.isfinite(vector).all():
        return "not every number is finite"
    return None if vector.any() else "every number is 0"


def _tokens(usage: bytes | msgspec.Raw) -> int | None:
    """Return the tokens billed; a strange ``usage`` is no reason to refuse vectors that were paid for."""
    try:
        told = _usage.decode(usage)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    tokens = told.total_tokens or told.prompt_tokens or told.prompt_eval_count
    return tokens if tokens and tokens > 0 else None
