"""Messages that nobody should send lie between good ones in one partition.

Invariant: each gets the outcome that DESIGN section 8 gives it; a dead letter has key, value and headers of its
original byte for byte, its place and the right code; every good neighbour is stored; lag is 0.
Fault: one message for each way to be wrong, or odd and yet good.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from schemas import headers
from schemas.dead_letters import Record
from schemas.documents import Deletion, Document
from schemas.headers import is_ours
from schemas.messages import Headers
from tests.scenarios.harness import Harness, document
from tests.scenarios.log import Sent

MIB = 1024 * 1024
DEEP = 10_000
SMALL = 2 * MIB
"""``max_document_bytes`` here: the topic takes a mebibyte more."""


@dataclass(frozen=True)
class Refused:
    """A message that becomes a dead letter, and the code of that."""

    name: str
    code: str
    value: bytes | None
    key: bytes | None = b"key"
    headers: Headers = ()


@dataclass(frozen=True)
class Odd:
    """A message that is stored, as which document and with which chunk."""

    name: str
    value: bytes
    id: str
    text: str = "words"
    key: bytes | None = b"key"
    headers: Headers = ()
    tenant: str = "default"
    columns: dict[str, Any] = field(default_factory=dict)
    counted: str | None = None


def _json(**fields: object) -> bytes:
    return json.dumps({"id": "x", "text": "words"} | fields).encode()


def _without(name: str) -> bytes:
    return json.dumps({key: value for key, value in {"id": "x", "text": "words"}.items() if key != name}).encode()


REFUSED = (
    Refused("not JSON", "invalid-document", b"{"),
    Refused("nothing at all", "invalid-document", b""),
    Refused("only a BOM", "invalid-document", b"\xef\xbb\xbf"),
    Refused("UTF-16", "invalid-document", '{"id":"x","text":"words"}'.encode("utf-16")),
    Refused("a list", "invalid-document", b"[]"),
    Refused("a string", "invalid-document", b'"text"'),
    Refused("null in JSON", "invalid-document", b"null"),
    Refused("two objects", "invalid-document", _json() + _json()),
    Refused(
        "deep metadata", "invalid-document", b'{"id":"x","text":"w","metadata":{"a":%b}}' % (b"[" * DEEP + b"]" * DEEP)
    ),
    Refused("deep and cut off", "invalid-document", b'{"id":"x","text":"w","metadata":{"a":%b' % (b"[" * DEEP)),
    Refused("text not UTF-8", "invalid-document", b'{"id":"x","text":"\xff\xfe"}'),
    Refused("id not UTF-8", "invalid-document", b'{"id":"\xff","text":"words"}'),
    Refused("key not UTF-8 as the id", "invalid-document", _without("id"), key=b"\xff"),
    Refused("text is a number", "invalid-document", _json(text=7)),
    Refused("title is a list", "invalid-document", _json(title=[])),
    Refused("metadata is a list", "invalid-document", _json(metadata=[1])),
    Refused("tenant is a number", "invalid-document", _json(tenant=7)),
    Refused("content type is a number", "invalid-document", _json(content_type=7)),
    Refused("id is true", "invalid-document", _json(id=True)),
    Refused("id is an object", "invalid-document", _json(id={})),
    Refused("id over 64 bits", "invalid-document", _json(id=2**70)),
    Refused("integer over 64 bits in metadata", "invalid-document", _json(metadata={"n": 2**70})),
    Refused(
        "text with bytes that are not UTF-8 in metadata",
        "invalid-document",
        b'{"id":"x","text":"w","metadata":{"a":"\xff"}}',
    ),
    Refused("lone surrogate in text", "invalid-document", b'{"id":"x","text":"\\ud800"}'),
    Refused("lone surrogate in metadata", "invalid-document", b'{"id":"x","text":"w","metadata":{"a":"\\udfff"}}'),
    Refused(
        "lone surrogate in a name in metadata", "invalid-document", b'{"id":"x","text":"w","metadata":{"\\ud800":1}}'
    ),
    Refused("lone surrogate in title", "invalid-document", b'{"id":"x","text":"w","title":"\\ud800"}'),
    Refused("lone surrogate in id", "invalid-document", b'{"id":"\\ud800","text":"w"}'),
    Refused("infinite number in metadata", "invalid-document", b'{"id":"x","text":"w","metadata":{"n":1e400}}'),
    Refused("infinite id", "invalid-document", b'{"id":1e400,"text":"w"}'),
    Refused("NaN", "invalid-document", b'{"id":"x","text":"w","metadata":{"n":NaN}}'),
    Refused("no id, no key", "missing-id", _without("id"), key=None),
    Refused("id is null, no key", "missing-id", _json(id=None), key=None),
    Refused("id is empty, key is empty", "missing-id", _json(id=""), key=b""),
    Refused("id is nothing but NUL, no key", "missing-id", _json(id="\0"), key=None),
    Refused("id too long", "invalid-document", _json(id="x" * 1025)),
    Refused("key too long as the id", "invalid-document", _without("id"), key=b"x" * 1025),
    Refused("id too long in bytes", "invalid-document", _json(id="\N{SNOWMAN}" * 342)),
    Refused("bad tenant", "invalid-document", _json(tenant="a b")),
    Refused("tenant with a line end", "invalid-document", _json(tenant="a\n")),
    Refused("empty tenant", "invalid-document", _json(tenant="")),
    Refused("tenant too long", "invalid-document", _json(tenant="t" * 65)),
    Refused("empty tenant in the header", "invalid-document", _json(), headers=((headers.TENANT, b""),)),
    Refused("tenant header not UTF-8", "invalid-document", _json(), headers=((headers.TENANT, b"\xff"),)),
    Refused("id header not UTF-8", "invalid-document", _json(), headers=((headers.ID, b"\xff"),)),
    Refused("version header not UTF-8", "invalid-document", _json(), headers=((headers.VERSION, b"\xff"),)),
    Refused("version header no number", "invalid-document", _json(), headers=((headers.VERSION, b"two"),)),
    Refused(
        "version header over 64 bits", "invalid-document", _json(), headers=((headers.VERSION, b"9223372036854775808"),)
    ),
    Refused("version over 64 bits", "invalid-document", _json(version=2**63)),
    Refused("version a fraction", "invalid-document", _json(version=1.5)),
    Refused("version is text", "invalid-document", _json(version="1")),
    Refused("version is true", "invalid-document", _json(version=True)),
    Refused("ids disagree", "invalid-document", _json(), headers=((headers.ID, b"y"),)),
    Refused("tenants disagree", "invalid-document", _json(tenant="a"), headers=((headers.TENANT, b"b"),)),
    Refused("versions disagree", "invalid-document", _json(version=1), headers=((headers.VERSION, b"2"),)),
    Refused("text missing", "empty-text", _without("text")),
    Refused("text null", "empty-text", _json(text=None)),
    Refused("text empty", "empty-text", _json(text="")),
    Refused("text white space", "empty-text", _json(text=" \n\t\N{NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}")),
    Refused("text of NUL", "empty-text", _json(text="\0\0 ")),
    Refused("too large", "document-too-large", _json(text="x" * SMALL)),
    Refused("neither key nor value", "missing-id", None, key=None),
    Refused("null value without an id", "missing-id", None, key=b""),
    Refused("null value, key not UTF-8", "invalid-document", None, key=b"\xff"),
    Refused(
        "strange headers",
        "invalid-document",
        b"{",
        headers=(("a", b"\xff"), ("a", b""), ("", b"1"), ("\N{SNOWMAN}", b"2")),
    ),
)

ODD = (
    Odd("BOM", b"\xef\xbb\xbf" + _json(id="bom"), "bom"),
    Odd("repeated keys", b'{"id":"first","id":"repeated","text":"first","text":"last"}', "repeated", "last"),
    Odd("unknown fields", _json(id="unknown-fields", colour="red", more={"a": [1]}), "unknown-fields"),
    Odd("NUL in text", _json(id="nul-text", text="wo\0rds"), "nul-text", counted="nul-removed"),
    Odd(
        "NUL in title", _json(id="nul-title", title="a\0b"), "nul-title", columns={"title": "ab"}, counted="nul-removed"
    ),
    Odd("NUL in id", _json(id="nul\0-id"), "nul-id", counted="nul-removed"),
    Odd(
        "NUL in metadata",
        _json(id="nul-meta", metadata={"k\0": ["v\0"]}),
        "nul-meta",
        columns={"metadata": {"k": ["v"]}},
        counted="nul-removed",
    ),
    Odd(
        "a backslash before u0000",
        _json(id="no-nul", metadata={"k": "\\u0000"}),
        "no-nul",
        columns={"metadata": {"k": "\\u0000"}},
    ),
    Odd(
        "unknown content type",
        _json(id="content-type", content_type="application/x-unheard-of"),
        "content-type",
        counted="unknown-content-type",
    ),
    Odd("id missing", _without("id"), "the-key", key=b"the-key"),
    Odd("id null", _json(id=None), "the-key-2", key=b"the-key-2"),
    Odd("id empty", _json(id=""), "the-key-3", key=b"the-key-3"),
    Odd("id in the header", _without("id"), "in-header", headers=((headers.ID, b"in-header"),)),
    Odd("id a number", _json(id=42), "42"),
    Odd("id the same number in value and header", _json(id=43), "43", headers=((headers.ID, b"43"),)),
    Odd("id a fraction", b'{"id":1.5,"text":"words"}', "1.5"),
    Odd("id a large number", _json(id=2**63 - 1), str(2**63 - 1)),
    Odd("longest id", _json(id="l" * 1024), "l" * 1024),
    Odd("no key", _json(id="no-key"), "no-key", key=None),
    Odd("key not UTF-8 beside an id", _json(id="odd-key"), "odd-key", key=b"\xff\x00"),
    Odd("longest tenant", _json(id="tenant", tenant="t" * 64), "tenant", tenant="t" * 64),
    Odd(
        "tenant in the header", _json(id="tenant"), "tenant", headers=((headers.TENANT, b"a.b_c-D"),), tenant="a.b_c-D"
    ),
    Odd("largest version", _json(id="version", version=2**63 - 1), "version", columns={"version": 2**63 - 1}),
    Odd(
        "version in the header",
        _json(id="version-2"),
        "version-2",
        headers=((headers.VERSION, b"-7"),),
        columns={"version": -7},
    ),
    Odd("other headers not UTF-8", _json(id="headers"), "headers", headers=(("a", b"\xff"), ("a", b""))),
    Odd(
        "large finite numbers",
        b'{"id":"finite","text":"words","metadata":{"n":1e308}}',
        "finite",
        columns={"metadata": {"n": 1e308}},
    ),
    Odd(
        "metadata of a mebibyte",
        _json(id="metadata", metadata={"a": "m" * MIB}),
        "metadata",
        columns={"metadata": {"a": "m" * MIB}},
    ),
    Odd(
        "characters of four bytes",
        _json(id="\N{GRINNING FACE}", text="\N{GRINNING FACE}"),
        "\N{GRINNING FACE}",
        "\N{GRINNING FACE}",
    ),
)


async def _publish_among_good_ones(harness: Harness, records: list[Record]) -> list[Sent]:
    """Publish *records* in one partition, two good documents behind each; return where *records* lie."""
    told: list[Document | Deletion | Record] = []
    for n, record in enumerate(records):
        told += [record, document(2 * n), document(2 * n + 1)]
    return (await harness.publish(told, partition=0))[::3]


def _origin(letter: Sent) -> tuple[int, int]:
    told = {name: value or b"" for name, value in letter.headers}
    return int(told["headrace-dlq-partition"]), int(told["headrace-dlq-offset"])


async def test_what_can_not_be_stored_is_dead_lettered_as_it_came(harness: Harness) -> None:
    sent = await _publish_among_good_ones(harness, [Record(one.key, one.value, one.headers) for one in REFUSED])
    await harness.catch_up(worker__max_document_bytes=SMALL)

    letters = {_origin(letter): letter for letter in await harness.log.dead_letters()}
    assert letters.keys() == {(original.partition, original.offset) for original in sent}
    wrong = {}
    for case, original in zip(REFUSED, sent, strict=True):
        letter = letters[original.partition, original.offset]
        told = {name: value or b"" for name, value in letter.headers}
        nothing = original.key is None and original.value is None
        found = (letter.key, letter.value, tuple(h for h in letter.headers if not is_ours(h[0])))
        if found != (b"" if nothing else original.key, original.value, original.headers):
            wrong[case.name] = "not the bytes of the original"
        elif (told["headrace-dlq-code"].decode(), told["headrace-dlq-stage"]) != (case.code, b"decode"):
            wrong[case.name] = f"{told['headrace-dlq-code']!r}: {told['headrace-dlq-message']!r}"
        elif (headers.DLQ_NULL_KEY in told) != nothing or told["headrace-dlq-topic"] != harness.log.topic.encode():
            wrong[case.name] = f"says the wrong origin: {told}"
    assert wrong == {}
    assert await harness.everything_is_stored()
    assert await harness.caught_up()


async def test_what_is_odd_and_yet_good_is_stored(harness: Harness) -> None:
    await _publish_among_good_ones(harness, [Record(one.key, one.value, one.headers) for one in ODD])
    for one in ODD:
        harness.expect(Document(one.tenant, one.id, one.text))
    worker = harness.worker()
    await harness.assert_nothing_lost()
    for kind in ("nul-removed", "unknown-content-type"):
        counted = await worker.metric("headrace_odd_inputs_total", kind=kind)
        assert counted == sum(one.counted == kind for one in ODD), kind

    rows = {
        (row["tenant"], row["id"]): dict(row)
        | {"metadata": row["metadata"] and json.loads(row["metadata"], parse_int=float)}
        for row in await harness.index.fetch("SELECT tenant, id, title, metadata, version FROM docs.documents")
    }
    nothing = {"title": None, "metadata": None, "version": None}
    wrong = {
        one.name: found
        for one in ODD
        if (found := rows[one.tenant, one.id]) != nothing | {"tenant": one.tenant, "id": one.id} | one.columns
    }
    assert wrong == {}
