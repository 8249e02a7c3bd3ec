"""How any Kafka client of ours connects, and what its failures mean."""

import asyncio
import ssl
from pathlib import Path

import pytest
from aiokafka import errors as kafka_errors

from producers.connection import address, client_options, probe, sasl_password
from producers.errors import RecordTooLarge, broker_errors, translated
from schemas.errors import BrokerMisconfigured, BrokerUnavailable
from schemas.settings import KafkaSettings


def settings(**given: object) -> KafkaSettings:
    return KafkaSettings.model_validate(given)


def sasl(**given: object) -> KafkaSettings:
    return settings(security_protocol="SASL_PLAINTEXT", sasl_username="u", **given)


def test_a_plain_connection_needs_servers_only() -> None:
    options = client_options(settings(bootstrap_servers="a:1, b:2,"), "worker")
    assert options["bootstrap_servers"] == ["a:1", "b:2"]
    assert options["client_id"] == "headrace-worker"
    assert options["security_protocol"] == "PLAINTEXT"
    assert not any(name.startswith(("sasl", "ssl")) for name in options)


def test_a_password_shows_in_no_repr() -> None:
    kafka = sasl(sasl_password="not-shown", sasl_mechanism="SCRAM-SHA-512")
    options = client_options(kafka, "worker")
    assert options["sasl_plain_password"] == "not-shown"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert "not-shown" not in f"{options!r} {options} {kafka!r} {options['sasl_plain_password']!r}"


def test_a_password_file_is_read_anew_and_comes_before_the_password(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(" one \n")
    kafka = sasl(sasl_password="other", sasl_password_file=str(file))
    assert sasl_password(kafka) == " one "
    file.write_text("two")
    assert client_options(kafka, "worker")["sasl_plain_password"] == "two"


@pytest.mark.parametrize(
    "wrong",
    [
        {"security_protocol": "SASL_PLAINTEXT"},
        {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "u"},
        {"security_protocol": "SASL_SSL", "sasl_username": "u", "sasl_password_file": "/nowhere"},
        {"security_protocol": "SSL", "ssl_cafile": "/nowhere"},
        {"security_protocol": "SSL", "ssl_certfile": __file__},
        {"bootstrap_servers": " , "},
        {"bootstrap_servers": "host:port"},
    ],
)
def test_settings_that_can_not_connect_are_refused_in_words(wrong: dict[str, object]) -> None:
    with pytest.raises(BrokerMisconfigured):
        client_options(settings(**wrong), "worker")


def test_tls_always_checks_the_name_and_the_certificate() -> None:
    context = client_options(settings(security_protocol="SSL"), "worker")["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("server", "expected"),
    [("a:1", ("a", 1)), ("a", ("a", 9092)), ("[::1]:7", ("::1", 7)), ("[::1]", ("::1", 9092))],
)
def test_an_address_is_split(server: str, expected: tuple[str, int]) -> None:
    assert address(server) == expected


@pytest.mark.parametrize(
    "error",
    [
        kafka_errors.KafkaConnectionError(),
        kafka_errors.KafkaTimeoutError(),
        kafka_errors.NotEnoughReplicasError(),
        kafka_errors.NotLeaderForPartitionError(),
        kafka_errors.RequestTimedOutError(),
        kafka_errors.OutOfOrderSequenceNumber(),
        kafka_errors.UnknownError(),
        ConnectionResetError("gone"),
        TimeoutError(),
    ],
)
def test_what_passes_by_itself_is_unavailable(error: Exception) -> None:
    assert type(translated(error, "sending")) is BrokerUnavailable


@pytest.mark.parametrize(
    "error",
    [
        kafka_errors.TopicAuthorizationFailedError("t"),
        kafka_errors.GroupAuthorizationFailedError("g"),
        kafka_errors.ClusterAuthorizationFailedError(),
        kafka_errors.AuthenticationFailedError("bad"),
        kafka_errors.SaslAuthenticationFailed(),
        kafka_errors.UnsupportedVersionError(),
        kafka_errors.PolicyViolationError(),
        ssl.SSLCertVerificationError("self-signed"),
    ],
)
def test_what_somebody_has_to_mend_is_misconfigured(error: Exception) -> None:
    assert type(translated(error, "sending")) is BrokerMisconfigured


def test_an_unknown_topic_is_mended_by_init() -> None:
    error = translated(kafka_errors.UnknownTopicOrPartitionError(), "sending to docs.raw")
    assert type(error) is BrokerMisconfigured
    assert "docs.raw" in str(error)
    assert "headrace init" in str(error)


@pytest.mark.parametrize("error", [kafka_errors.MessageSizeTooLargeError(), kafka_errors.RecordListTooLargeError()])
def test_a_record_too_large_is_told_apart_from_what_concerns_all_records(error: Exception) -> None:
    assert isinstance(translated(error, "sending"), RecordTooLarge)


def test_nothing_foreign_leaves_and_a_defect_of_ours_is_none_of_kafkas() -> None:
    with pytest.raises(BrokerUnavailable) as met, broker_errors("asking"):
        raise ConnectionRefusedError(111, "refused")
    assert isinstance(met.value.__cause__, ConnectionRefusedError)
    with pytest.raises(AssertionError), broker_errors("asking"):
        raise AssertionError
    with pytest.raises(asyncio.CancelledError), broker_errors("asking"):
        raise asyncio.CancelledError


async def test_a_probe_says_why_nobody_answers() -> None:
    with pytest.raises(BrokerUnavailable, match="Refused"):
        await probe(settings(bootstrap_servers="127.0.0.1:1,127.0.0.1:2"))


async def test_a_probe_of_something_that_is_not_kafka_ends_and_hangs_up() -> None:
    hung_up = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(BrokerUnavailable):
            await probe(settings(bootstrap_servers=f"127.0.0.1:{port}"), timeout_s=0.2)
        await asyncio.wait_for(hung_up.wait(), 5)
