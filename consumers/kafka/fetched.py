"""What has aiokafka fetched that nobody will take?

What lies fetched when its partition is paused is thrown away by the next poll, but its memory stays: records are parsed
by a generator that refers to itself, and only the garbage collector finds that, long after. With documents of megabytes
that is more than the documents that are in flight.
"""

from typing import Any


def let_go(consumer: Any) -> None:  # noqa: ANN401 - aiokafka publishes no types
    """End the parsing of what was fetched of paused partitions, so that the next poll frees it.

    Nothing is lost: the position stays behind what was handed out, and is fetched from again after the pause.
    """
    paused = consumer.paused()
    for place, fetched in consumer._fetcher._records.items():  # noqa: SLF001 - not public
        parsed = getattr(fetched, "_partition_records", None)  # an error has none
        if place in paused and parsed is not None and parsed._records_iterator is not None:  # noqa: SLF001 - not public
            parsed._records_iterator.close()  # noqa: SLF001 - not public
