"""What is known of a message between its poll and its resolution?"""

from consumers.core.chunking import chunk_row, text_digest
from consumers.core.decoding import Decoded
from consumers.core.flight import Fate, Flight, content_hash
from consumers.core.tracking import PartitionTracker
from schemas.documents import Deletion, Document
from schemas.index import ChangeKind
from schemas.messages import Message, TimestampType


def flight(subject: Document | Deletion) -> Flight:
    message = Message("docs.raw", 0, 0, 5, TimestampType.LOG_APPEND_TIME, b"k", b"value")
    return Flight(PartitionTracker(0, 0), message, Decoded(subject, message.place, 5), 1.0)


DOCUMENT = Document("t", "a", "text", 3, "title", '{"k":1}')


def test_a_document_is_complete_with_its_last_vector_and_not_before() -> None:
    flying = flight(DOCUMENT)
    flying.fan_out((chunk_row("one"), chunk_row("two")))
    assert not flying.arrive(1, b"v1")
    assert flying.arrive(0, b"v0")
    assert [chunk.vector for chunk in flying.chunks] == [b"v0", b"v1"]


def test_the_same_vector_twice_completes_nothing() -> None:
    flying = flight(DOCUMENT)
    flying.fan_out((chunk_row("one"), chunk_row("two")))
    flying.arrive(0, b"v0")
    assert not flying.arrive(0, b"again")
    assert flying.missing == 1


def test_a_flight_is_of_use_until_its_partition_is_given_up_or_it_is_condemned() -> None:
    flying, live = flight(DOCUMENT), []
    for fate in (Fate.IN_FLIGHT, Fate.CONDEMNED, Fate.IN_FLIGHT):
        flying.fate = fate
        live.append(flying.live)
    flying.tracker.close()
    assert [*live, flying.live] == [True, False, True, False]


def test_the_changes_say_what_the_message_said() -> None:
    flying = flight(DOCUMENT)
    flying.hashed(b"fingerprint")
    flying.fan_out((chunk_row("text"),))
    put, touch = flying.put(), flying.touch()
    assert (put.kind, put.tenant, put.id, put.version, put.chunks) == (ChangeKind.PUT, "t", "a", 3, flying.chunks)
    assert (touch.kind, touch.metadata, touch.content_hash, touch.chunks) == (
        ChangeKind.TOUCH,
        '{"k":1}',
        put.content_hash,
        (),
    )


def test_a_deletion_writes_no_content() -> None:
    removal = flight(Deletion("t", "a", 4)).removal()
    assert (removal.kind, removal.version, removal.content_hash) == (ChangeKind.DELETE, 4, None)


def test_the_content_hash_tells_title_text_and_fingerprint_apart() -> None:
    hashes = {
        content_hash(b"f", None, text_digest("ab")),
        content_hash(b"f", "", text_digest("ab")),
        content_hash(b"f", "a", text_digest("b")),
        content_hash(b"f", "ab", text_digest("")),
        content_hash(b"g", "a", text_digest("b")),
    }
    assert len(hashes) == 5
