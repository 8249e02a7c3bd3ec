"""What does a failure of the Kafka client mean to us? Producers and consumers ask the same table.

By type, never by text. What an operator has to mend is BrokerMisconfigured; everything else that Kafka or the network
does to us passes by itself and is BrokerUnavailable. A defect of ours (AssertionError, TypeError) is neither.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import errors

from schemas.errors import BrokerMisconfigured, BrokerUnavailable

UNKNOWN_TOPIC = "run `headrace init` to create the topics, or correct their names in [kafka]"
TOO_LARGE = "raise max.message.bytes of the topic (`headrace init` makes topics that are large enough)"
RIGHTS = "give this user the rights it lacks, or another user in [kafka]"
LOGIN = "correct sasl_mechanism, sasl_username and sasl_password in [kafka]"
SETTINGS = "correct the settings of the topic or of the broker"
CLIENT = "the broker is too old or does not allow what is needed"
OVERSIZED = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError, errors.RecordTooLargeError)

MISCONFIGURED: dict[type[BaseException], str] = {
    errors.UnknownTopicOrPartitionError: UNKNOWN_TOPIC,
    errors.InvalidTopicError: UNKNOWN_TOPIC,
    **dict.fromkeys(OVERSIZED, TOO_LARGE),
    errors.TopicAuthorizationFailedError: RIGHTS,
    errors.GroupAuthorizationFailedError: RIGHTS,
    errors.ClusterAuthorizationFailedError: RIGHTS,
    errors.TransactionalIdAuthorizationFailed: RIGHTS,
    errors.SecurityDisabled: RIGHTS,
    errors.AuthenticationFailedError: LOGIN,
    errors.AuthenticationMethodNotSupported: LOGIN,
    errors.SaslAuthenticationFailed: LOGIN,
    errors.UnsupportedSaslMechanismError: LOGIN,
    errors.IllegalSaslStateError: LOGIN,
    errors.InvalidRequiredAcksError: SETTINGS,
    errors.InvalidTimestampError: SETTINGS,
    errors.InvalidPartitionsError: SETTINGS,
    errors.InvalidReplicationFactorError: SETTINGS,
    errors.InvalidConfigurationError: SETTINGS,
    errors.PolicyViolationError: SETTINGS,
    errors.InvalidSessionTimeoutError: SETTINGS,
    errors.InvalidGroupIdError: SETTINGS,
    errors.InconsistentGroupProtocolError: SETTINGS,
    errors.KafkaConfigurationError: SETTINGS,
    errors.UnsupportedVersionError: CLIENT,
    errors.UnsupportedForMessageFormatError: CLIENT,
    errors.IncompatibleBrokerVersion: CLIENT,
    errors.UnrecognizedBrokerVersion: CLIENT,
    errors.UnsupportedCodecError: CLIENT,
    ssl.SSLCertVerificationError: "correct ssl_cafile, ssl_certfile and ssl_keyfile in [kafka]",
}
"""Failures that stay until somebody acts, and what there is to do."""

FOREIGN = (errors.KafkaError, errors.IllegalOperation, OSError, TimeoutError)
"""What the Kafka client raises when Kafka or the network fails it."""


def translated(error: BaseException, doing: str) -> BrokerMisconfigured | BrokerUnavailable:
    """Return our error for a foreign one met while *doing* something (``sending to docs.raw``)."""
    advice = next((told for kind in type(error).__mro__ if (told := MISCONFIGURED.get(kind)) is not None), None)
    said = f"{doing}: {_words(error)}"
    if advice is None:
        return BrokerUnavailable(said)
    return (RecordTooLarge if isinstance(error, OVERSIZED) else BrokerMisconfigured)(f"{said}; {advice}")


class RecordTooLarge(BrokerMisconfigured):
    """This record is larger than its topic takes; others may well pass."""


@contextmanager
def broker_errors(doing: str) -> Iterator[None]:
    """Let nothing foreign out of the block: only BrokerUnavailable and BrokerMisconfigured leave it."""
    try:
        yield
    except FOREIGN as error:
        raise translated(error, doing) from error


def _words(error: BaseException) -> str:
    name = type(error).__name__
    said = str(error).removeprefix(f"{name}: ").strip()
    described = said if said and said != name else getattr(error, "description", "")
    return f"{name}: {described}" if described else name
