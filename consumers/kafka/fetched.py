"""What has aiokafka fetched that nobody will take?

What lies fetched when its partition is paused is thrown away by the next poll, but its memory stays: records are parsed
by a generator that refers to itself, and only the garbage collector finds that, long after. With documents of megabytes
that is more than the documents that are in flight.
"""

from typing import Any


def let_go(consumer: Any) -> None:  # noqa: ANN401 - aiokafka publishes no types
    """End the parsing of what was fetched of paused partitions, so that the next poll frees it.

    Nothing is lost: the position stays behind what was handed out, and is fetched from again after the pause. None of
    this is public; a client that keeps it elsewhere is left alone.
    """
    lying: dict[object, object] = getattr(getattr(consumer, "_fetcher", None), "_records", {})
    paused = consumer.paused() if lying else ()
    for place, fetched in lying.items():
        parsing = getattr(getattr(fetched, "_partition_records", None), "_records_iterator", None)
        if place in paused and parsing is not None:
            parsing.close()
