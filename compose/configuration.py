"""What are the settings, and where did each of them come from?

Each layer overrides the ones before it: defaults, a running embedded stack (only where no server is configured at
all), ``headrace.toml``, ``HEADRACE_<SECTION>__<NAME>`` variables, flags. Everything that is wrong is told at once,
with the place it stands at and the nearest right name. A secret is never part of a message.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import SecretStr, ValidationError

from compose.embedded.discovery import running_stack
from compose.embedded.endpoints import Endpoints
from compose.layers import Given, fields, from_environment, from_file, from_flags, nearest, variable
from compose.masking import masked_secret, masked_url
from consumers.providers.profiles import limits_of
from schemas.errors import ConfigurationError
from schemas.settings import Settings

DEFAULT_FILE = Path("headrace.toml")
SERVERS = ("kafka.bootstrap_servers", "store.dsn", "provider.base_url")
"""Where none of these is configured, a running embedded stack provides them all."""
SECRETS_IN_FILES = ("kafka.sasl_password", "provider.api_key")
"""Whoever needs them reads their ``*_file``, anew each time: passwords and keys rotate."""
VIEWS = "headrace"
"""The schema of the views that readers use."""


@dataclass(frozen=True)
class Shown:
    """A setting as it may be printed: secrets are masked."""

    name: str
    value: str
    source: str


@dataclass(frozen=True)
class Configuration:
    """The settings, and which layer each came from: default, embedded stack, file, environment or flag."""

    settings: Settings
    sources: Mapping[str, str]
    file: Path | None = None

    def shown(self) -> list[Shown]:
        """Return every setting in the order of their sections, ready to be printed, as it is in force."""
        values = {name: value_of(self.settings, name) for name in fields()} | self._in_force()
        return [Shown(name, masked(value), self.sources[name]) for name, value in values.items()]

    def _in_force(self) -> dict[str, object]:
        """Return what stands for settings that depend on others where they are not set."""
        limits = limits_of(self.settings.provider)
        return {
            "kafka.group": self.settings.group,
            "provider.max_items": limits.items,
            "provider.max_tokens": limits.tokens,
            "provider.max_bytes": limits.size,
        }


def load(
    file: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, object],
    *,
    stack: Callable[[], Endpoints | None] | None = None,
) -> Configuration:
    """Read all layers. ``stack`` is what looks for a running embedded stack.

    Raises ConfigurationError, which names everything that is wrong, each with its file or variable.
    """
    problems: list[str] = []
    path = _find_file(file, environ)
    in_file = from_file(path, problems) if path is not None else ()
    given = dict(chain(in_file, from_environment(environ, problems), from_flags(flags, problems)))
    if not any(name in given for name in SERVERS):
        given = _from_stack(stack() if stack else running_stack(environ)) | given
    settings = _validate(given, problems)
    sources = {name: given[name].source if name in given else "default" for name in fields()}
    return Configuration(settings, sources, path)


def require(settings: Settings, *names: str) -> None:
    """Refuse to go on without these settings, and say all the ways to give them."""
    missing = [name for name in names if value_of(settings, name) is None]
    if missing:
        ways = "\n".join(
            f"  {name}: set {variable(name)}, or [{name.replace('.', '] ')} in headrace.toml" for name in missing
        )
        raise ConfigurationError(f"something is not configured:\n{ways}\n`headrace up` starts all that is needed here")


def value_of(settings: Settings, name: str) -> object:
    """Return the value of ``section.name``."""
    section, _, own = name.partition(".")
    value: object = getattr(getattr(settings, section), own)
    return value


def masked(value: object) -> str:
    """Write a value for people: secrets as ***, passwords inside URLs too, an unset value as a dash."""
    if value is None:
        return "-"
    if isinstance(value, SecretStr):
        return masked_secret(value.get_secret_value())
    if isinstance(value, str):
        return masked_url(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _find_file(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    told = environ.get("HEADRACE_CONFIG")
    named = file or (Path(told) if told else None)
    if named is None:
        return DEFAULT_FILE if DEFAULT_FILE.is_file() else None
    if not named.is_file():
        by = "" if file else ", which HEADRACE_CONFIG names"
        raise ConfigurationError(f"there is no configuration file {named}{by}")
    return named


def _from_stack(endpoints: Endpoints | None) -> dict[str, Given]:
    if endpoints is None:
        return {}
    told = {
        "kafka.bootstrap_servers": endpoints.bootstrap_servers,
        "store.dsn": endpoints.dsn,
        "provider.base_url": endpoints.base_url,
        "provider.model": endpoints.model,
        "provider.dimensions": endpoints.dimensions,
    }
    return {name: Given(value, "embedded stack", f"the embedded stack: {name}") for name, value in told.items()}


def _validate(given: Mapping[str, Given], problems: list[str]) -> Settings:
    nested: dict[str, dict[str, object]] = {}
    for name, one in given.items():
        section, _, own = name.partition(".")
        nested.setdefault(section, {})[own] = one.value
    problems += _twice(given)
    try:
        settings = Settings.model_validate(nested)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False, include_context=False):
            name = ".".join(str(part) for part in detail["loc"][:2])
            problems.append(_refusal(name, given[name], detail["msg"]))
    else:
        problems += _contradictions(settings)
        if not problems:
            return settings
    told = "\n".join(f"  {problem}" for problem in problems)
    # Outside of the handler, so that pydantic's error, which quotes what it refuses, is no context of ours.
    raise ConfigurationError(f"the configuration is wrong:\n{told}")


def _refusal(name: str, one: Given, message: str) -> str:
    """Say which value is refused and why; a wrong choice is answered with the nearest right one."""
    annotation = fields()[name].annotation
    why = message[0].lower() + message[1:]
    if SecretStr in (annotation, *get_args(annotation)):
        return f"{one.place}: {why}"
    near = nearest(str(one.value), get_args(annotation)) if get_origin(annotation) is Literal else ""
    return f"{one.place} = {masked(one.value)}: {why}{near}"


def _twice(given: Mapping[str, Given]) -> Iterator[str]:
    for secret in SECRETS_IN_FILES:
        if secret in given and f"{secret}_file" in given:
            yield f"{given[secret].place} and {given[f'{secret}_file'].place}: give one of them, not both"


def _contradictions(settings: Settings) -> Iterator[str]:
    kafka, chunking = settings.kafka, settings.chunking
    if settings.provider.money_per_day is not None and not settings.provider.price_per_million_tokens:
        yield "provider.money_per_day needs provider.price_per_million_tokens"
    if chunking.overlap >= chunking.max_tokens:
        yield f"chunking.overlap = {chunking.overlap}: it has to be below chunking.max_tokens = {chunking.max_tokens}"
    if "SASL" in kafka.security_protocol and not (
        kafka.sasl_username and (kafka.sasl_password or kafka.sasl_password_file)
    ):
        needed = "kafka.sasl_username and kafka.sasl_password (or kafka.sasl_password_file)"
        yield f"kafka.security_protocol = {kafka.security_protocol}: it needs {needed}"
    if settings.store.index == VIEWS:
        yield f"store.index = {VIEWS}: this schema holds the views that readers use, name the index otherwise"
    topics = [kafka.topic, kafka.dlq_topic, kafka.parked_topic, settings.outcomes_topic]
    if len(set(topics)) < len(topics):
        yield f"kafka.topic, dlq_topic, parked_topic and <dlq_topic>.outcomes: each has to be another one, not {topics}"
