"""What is logged, and how? On standard error: lines for people on a terminal, JSON for machines elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from dataclasses import fields
from enum import Enum
from typing import Any, TextIO

import structlog

from schemas import events
from schemas.events import Event
from schemas.settings import TelemetrySettings

AGAIN_AFTER_S = 10.0
"""An outage repeats itself: the same failure is logged once in so long, with how often it was seen meanwhile."""

LEVELS: dict[type[Event], tuple[int, str]] = {
    events.StateChanged: (logging.INFO, "state changed"),
    events.Assigned: (logging.INFO, "partitions assigned"),
    events.Revoked: (logging.INFO, "partitions given up"),
    events.DeadLettered: (logging.WARNING, "dead-lettered"),
    events.DeadLetterFailed: (logging.WARNING, "dead-letter topic refused"),
    events.CallFailed: (logging.WARNING, "call failed"),
    events.WriteFailed: (logging.WARNING, "write failed"),
    events.PollFailed: (logging.WARNING, "poll failed"),
    events.CommitRefused: (logging.WARNING, "commit refused"),
    events.Rewound: (logging.WARNING, "rewound to what the database knows"),
    events.LostToRetention: (logging.ERROR, "lost to retention"),
    events.RetentionNears: (logging.WARNING, "retention nears unread records"),
    events.DeadlinePassed: (logging.WARNING, "documents wait longer than their deadline"),
    events.OddInput: (logging.DEBUG, "odd input"),
    events.Polled: (logging.DEBUG, "polled"),
    events.LookedUp: (logging.DEBUG, "looked up"),
    events.CallFinished: (logging.DEBUG, "call finished"),
    events.TextsReused: (logging.DEBUG, "texts reused"),
    events.Written: (logging.DEBUG, "written"),
    events.Resolved: (logging.DEBUG, "resolved"),
    events.DocumentTraced: (logging.DEBUG, "document traced"),
    events.Committed: (logging.DEBUG, "committed"),
    events.Lag: (logging.DEBUG, "lag"),
}
REPEATED = (events.CallFailed, events.WriteFailed, events.PollFailed, events.DeadLetterFailed, events.DeadLettered)

Processor = Callable[[Any, str, MutableMapping[str, Any]], MutableMapping[str, Any]]


def configure(telemetry: TelemetrySettings, mask: Callable[[str], str], stream: TextIO | None = None) -> None:
    """Set up structlog, and what libraries log through ``logging`` with it.

    *mask* takes secrets out of every text. Libraries speak at warning level and above: they log each retry below.
    """
    out = stream or sys.stderr
    console = telemetry.log_format == "console" or (telemetry.log_format == "auto" and out.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Tracebacks become text before the masking, so that no secret hides in one.
        structlog.processors.format_exc_info,
        _masking(mask),
    ]
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=out.isatty()) if console else structlog.processors.JSONRenderer()
    )
    level = getattr(logging, telemetry.log_level.upper())
    structlog.configure(
        [*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    last = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


class EventLog:
    """An observer that logs: what an operator wants to know at info and above, each group of work at debug."""

    def __init__(self, level: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._level = getattr(logging, level.upper())
        self._clock = clock
        self._log = structlog.get_logger()
        # By type and reason: when it may be logged again, and how often it was held back since.
        self._held: dict[tuple[object, ...], tuple[float, int]] = {}

    def __call__(self, event: Event) -> None:
        """Log an event, if its level is asked for and the same was not said just now."""
        level, text = LEVELS.get(type(event), (logging.DEBUG, type(event).__name__))
        if level < self._level:
            return
        said = {one.name: _plain(getattr(event, one.name)) for one in fields(event)}
        if isinstance(event, REPEATED):
            unsaid = self._unsaid(event)
            if unsaid is None:
                return
            if unsaid:
                said["not_logged_since"] = unsaid
        if isinstance(event, events.DeadLettered):
            # `message` is the reason; a log line is searched for by where the record lies.
            said["record"] = f"{said.pop('topic')}/{said.pop('partition')}/{said.pop('offset')}"
        self._log.log(level, text, **said)

    def _unsaid(self, event: Event) -> int | None:
        """Return how many alike were held back, or None where this one is to be held back as well."""
        alike = (type(event), *(getattr(event, name, None) for name in ("error", "verdict", "stage", "code")))
        now = self._clock()
        until, held = self._held.get(alike, (0.0, 0))
        if now < until:
            self._held[alike] = (until, held + 1)
            return None
        self._held[alike] = (now + AGAIN_AFTER_S, 0)
        return held


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    return round(value, 4) if isinstance(value, float) else value


def _masking(mask: Callable[[str], str]) -> Processor:
    def masked(_: object, __: str, told: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for name, value in told.items():
            if isinstance(value, str):
                told[name] = mask(value)
        return told

    return masked
