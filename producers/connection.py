"""How does any Kafka client of ours connect? Producers, consumers and the admin client alike."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError

from producers.errors import broker_errors
from schemas.errors import BrokerMisconfigured, BrokerUnavailable
from schemas.settings import KafkaSettings

REQUEST_TIMEOUT_MS = 30_000
START_TIMEOUT_S = 30.0


class Secret(str):
    """A password that shows in no repr: neither its own nor that of a dict that holds it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'**********'"


def client_options(settings: KafkaSettings, role: str) -> dict[str, Any]:
    """Return the keyword arguments that connect an aiokafka client; *role* is the end of its client id.

    Reads the files that the settings name. Raises BrokerMisconfigured where one is missing or of no use.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": servers(settings),
        "client_id": f"headrace-{role}",
        "security_protocol": settings.security_protocol,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
    }
    if "SSL" in settings.security_protocol:
        options["ssl_context"] = ssl_context(settings)
    if "SASL" in settings.security_protocol:
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": sasl_password(settings),
        }
    return options


def servers(settings: KafkaSettings) -> list[str]:
    """Return the brokers to start from, each as ``host:port``."""
    named = [server.strip() for server in settings.bootstrap_servers.split(",") if server.strip()]
    if not named:
        raise BrokerMisconfigured("no broker is named: set bootstrap_servers in [kafka]")
    for server in named:
        address(server)
    return named


def sasl_password(settings: KafkaSettings) -> Secret:
    """Return the password of SASL, from its file where one is named: a file is read anew for every client."""
    if settings.sasl_username is None:
        raise BrokerMisconfigured("SASL needs a user: set sasl_username in [kafka]")
    if settings.sasl_password_file is not None:
        try:
            return Secret(Path(settings.sasl_password_file).read_text(encoding="utf-8").rstrip("\r\n"))
        except (OSError, UnicodeDecodeError) as error:
            raise BrokerMisconfigured(f"sasl_password_file can not be read: {error}") from None
    if settings.sasl_password is None:
        raise BrokerMisconfigured("SASL needs a password: set sasl_password_file or sasl_password in [kafka]")
    return Secret(settings.sasl_password.get_secret_value())


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    """Return the TLS context: the broker's name and certificate are always checked."""
    password = settings.ssl_key_password
    try:
        context = ssl.create_default_context(cafile=settings.ssl_cafile)
        if settings.ssl_certfile is not None:
            # Without a password OpenSSL would ask for one on the terminal, and a service would wait for ever.
            told = password.get_secret_value() if password is not None else ""
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile, told)
    except (OSError, ValueError) as error:
        files = ", ".join(
            f"{name} = {value}"
            for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile")
            if (value := getattr(settings, name)) is not None
        )
        raise BrokerMisconfigured(f"the files of TLS can not be used ({files}): {error}") from None
    return context


async def start(client: Any, kafka: KafkaSettings) -> None:  # noqa: ANN401 - aiokafka publishes no types
    """Start a producer, consumer or admin client; where it can not connect, say why. Closing it is the caller's affair.

    Raises BrokerUnavailable or BrokerMisconfigured.
    """
    try:
        with broker_errors(f"connecting to Kafka at {kafka.bootstrap_servers}"):
            async with asyncio.timeout(START_TIMEOUT_S):
                await client.start()
    except BrokerUnavailable as error:
        if isinstance(error.__cause__, KafkaConnectionError):
            await probe(kafka)
        raise


async def probe(settings: KafkaSettings, *, timeout_s: float = 10.0) -> None:
    """Connect to the first broker that answers, log in, and say why where that fails.

    aiokafka's own start logs the reason (a wrong password, an unknown certificate) and then says no more than that it
    could not connect.
    """
    options = client_options(settings, "probe")
    named = options.pop("bootstrap_servers")
    for place, server in enumerate(named, start=1):
        try:
            with broker_errors(f"connecting to {server}"):
                host, port = address(server)
                connection = AIOKafkaConnection(host, port, **options)
                try:
                    async with asyncio.timeout(timeout_s):
                        await connection.connect()
                finally:
                    connection.close()
        except Exception:
            if place == len(named):
                raise
        else:
            return


def address(server: str) -> tuple[str, int]:
    """Split ``host:port``, ``[::1]:port`` or ``host``; the port is 9092 where none is named."""
    host, colon, port = server.rpartition(":")
    if not colon or server.endswith("]"):
        host, port = server, "9092"
    if not port.isdecimal():
        raise BrokerMisconfigured(f"bootstrap_servers holds {server!r}, which is not host:port")
    return host.strip("[]"), int(port)
