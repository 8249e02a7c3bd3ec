"""Settings: which layer wins, what is refused, and that no secret gets out."""

import json
import traceback
from pathlib import Path

import pytest

from compose.configuration import Configuration, load, require
from compose.embedded.endpoints import Endpoints
from compose.layers import fields, variable
from schemas.errors import ConfigurationError
from schemas.settings import Settings

STACK = Endpoints("127.0.0.1:1", "postgresql://u:pw@127.0.0.1:2/d", "http://127.0.0.1:3/v1", "wordllama-256", 256)
SECRET = "hunter2-very-secret"


@pytest.fixture(autouse=True)
def elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in a folder without a headrace.toml."""
    monkeypatch.chdir(folder)
    return folder


def loaded(
    toml: str = "",
    environ: dict[str, str] | None = None,
    flags: dict[str, object] | None = None,
    stack: Endpoints | None = None,
) -> Configuration:
    if toml:
        Path("headrace.toml").write_text(toml, "utf-8")
    return load(None, environ or {}, flags or {}, stack=lambda: stack)


def refusal(toml: str = "", environ: dict[str, str] | None = None, flags: dict[str, object] | None = None) -> str:
    with pytest.raises(ConfigurationError) as refused:
        loaded(toml, environ, flags)
    return str(refused.value)


def test_nothing_configured_is_the_defaults() -> None:
    found = loaded()
    assert found.settings == Settings()
    assert set(found.sources) == set(fields())
    assert set(found.sources.values()) == {"default"}


def test_each_layer_overrides_the_ones_before_it_and_is_remembered() -> None:
    toml = '[kafka]\ntopic = "file"\ndlq_topic = "file"\ngroup = "file"\nbootstrap_servers = "file:1"'
    environ = {"HEADRACE_KAFKA__DLQ_TOPIC": "environment", "HEADRACE_KAFKA__GROUP": "environment"}
    found = loaded(toml, environ, {"kafka.group": "flag", "kafka.topic": None}, STACK)
    kafka = found.settings.kafka
    assert (kafka.topic, kafka.dlq_topic, kafka.group) == ("file", "environment", "flag")
    told = [found.sources[f"kafka.{name}"] for name in ("parked_topic", "topic", "dlq_topic", "group")]
    assert told == ["default", "file", "environment", "flag"]


def test_a_running_stack_is_used_where_no_server_is_configured() -> None:
    found = loaded('[store]\nindex = "mine"\n[provider]\nmodel = "other"', stack=STACK)
    settings = found.settings
    assert settings.kafka.bootstrap_servers == "127.0.0.1:1"
    assert settings.store.dsn is not None
    assert settings.store.dsn.get_secret_value() == STACK.dsn
    assert (settings.provider.base_url, settings.provider.dimensions) == (STACK.base_url, 256)
    assert settings.provider.model == "other", "what somebody wrote goes before the stack"
    assert found.sources["store.dsn"] == "embedded stack"


@pytest.mark.parametrize(
    ("name", "value"),
    [("kafka.bootstrap_servers", "k:1"), ("store.dsn", "postgresql://h/d"), ("provider.base_url", "http://p/v1")],
)
def test_a_running_stack_is_ignored_as_soon_as_one_server_is_configured(name: str, value: str) -> None:
    found = loaded(environ={variable(name): value}, stack=STACK)
    assert "embedded stack" not in found.sources.values()
    assert found.settings.provider.model is None


def test_values_of_variables_are_read_as_their_type() -> None:
    environ = {
        "HEADRACE_STORE__DDL": "false",
        "HEADRACE_HTTP__PORT": "0",
        "HEADRACE_KAFKA__SESSION_TIMEOUT_S": "6.5",
        "HEADRACE_PROVIDER__RPM": "",
    }
    settings = loaded(environ=environ).settings
    assert (settings.store.ddl, settings.http.port, settings.kafka.session_timeout_s) == (False, 0, 6.5)
    assert settings.provider.rpm is None, "an empty variable counts as unset"


@pytest.mark.parametrize("other", ["HEADRACE_STATE", "HEADRACE_TEST_SEEDS", "HEADRACE_CACHE", "PATH", "headrace_x"])
def test_variables_of_others_are_left_alone(other: str) -> None:
    assert loaded(environ={other: "x"}).settings == Settings()


def test_a_file_is_named_by_flag_before_variable_before_the_current_folder(folder: Path) -> None:
    for name in ("a", "b", "headrace"):
        (folder / f"{name}.toml").write_text(f'[kafka]\ntopic = "{name}"', "utf-8")
    environ = {"HEADRACE_CONFIG": str(folder / "b.toml")}
    assert load(folder / "a.toml", environ, {}, stack=lambda: None).settings.kafka.topic == "a"
    assert load(None, environ, {}, stack=lambda: None).settings.kafka.topic == "b"
    assert load(None, {}, {}, stack=lambda: None).settings.kafka.topic == "headrace"


def test_a_named_file_that_is_missing_is_refused_with_who_named_it() -> None:
    assert "HEADRACE_CONFIG" in refusal(environ={"HEADRACE_CONFIG": "nowhere.toml"})
    with pytest.raises(ConfigurationError, match=r"no configuration file nowhere\.toml$"):
        load(Path("nowhere.toml"), {}, {}, stack=lambda: None)


def test_what_is_no_toml_is_refused_with_file_and_line() -> None:
    assert "headrace.toml is not TOML" in (told := refusal('[kafka]\ntopic = "x\n'))
    assert "line 2" in told
    Path("headrace.toml").write_bytes(b'x = "\xff"')
    assert "it is not UTF-8" in refusal()


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ('[kafka]\ntopik = "x"', "headrace.toml: there is no setting kafka.topik; did you mean kafka.topic?"),
        (
            "[kafak]\nx = 1",
            "headrace.toml: there is no section [kafak]; did you mean [kafka]?".replace("[kafka]", "kafka"),
        ),
        ('topic = "x"', "headrace.toml: there is no setting topic outside the sections; kafka.topic exist"),
        ("kafka = 1", "headrace.toml: kafka is a section"),
    ],
)
def test_a_wrong_name_in_the_file_is_refused_with_the_nearest_right_one(toml: str, told: str) -> None:
    assert told in refusal(toml)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("HEADRACE_KAFKA_TOPIC", "HEADRACE_KAFKA__TOPIC"),
        ("HEADRACE_STORE__DNS", "HEADRACE_STORE__DSN"),
        ("HEADRACE_CONFG", "HEADRACE_CONFIG"),
    ],
)
def test_a_wrong_variable_is_refused_with_the_nearest_right_one(wrong: str, right: str) -> None:
    assert f"{wrong}: there is no such setting; did you mean {right}?" in refusal(environ={wrong: "x"})


def test_a_wrong_flag_is_refused_with_the_nearest_right_one() -> None:
    assert "--set store.indx: there is no such setting; did you mean store.index?" in refusal(flags={"store.indx": "x"})


def test_a_wrong_value_is_refused_with_its_place_and_a_wrong_choice_with_the_nearest_right_one() -> None:
    assert "headrace.toml: kafka.partitions = 0: input should be greater than 0" in refusal("[kafka]\npartitions = 0")
    told = refusal(environ={"HEADRACE_STORE__VECTOR_TYPE": "halfvek"})
    assert "HEADRACE_STORE__VECTOR_TYPE = halfvek: input should be 'vector' or 'halfvec'; did you mean halfvec?" in told


def test_everything_that_is_wrong_is_told_at_once() -> None:
    told = refusal(
        '[kafka]\ntopik = "x"', {"HEADRACE_HTTP__PORT": "many", "HEADRACE_X": "1"}, {"store.index": "Not Allowed"}
    )
    for place in ("kafka.topik", "HEADRACE_HTTP__PORT = many", "HEADRACE_X", "--set store.index = Not Allowed"):
        assert place in told


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("[chunking]\nmax_tokens = 10\noverlap = 10", "has to be below chunking.max_tokens"),
        ('[kafka]\nsecurity_protocol = "SASL_SSL"', "it needs kafka.sasl_username and kafka.sasl_password"),
        ('[kafka]\ndlq_topic = "docs.raw"', "each has to be another one"),
        ('[provider]\napi_key = "a"\napi_key_file = "b"', "give one of them, not both"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(toml: str, told: str) -> None:
    assert told in refusal(toml)


def test_what_a_command_needs_is_asked_for_with_the_ways_to_give_it() -> None:
    with pytest.raises(ConfigurationError) as refused:
        require(Settings(), "kafka.topic", "store.dsn", "provider.model")
    told = str(refused.value)
    assert "store.dsn: set HEADRACE_STORE__DSN, or [store] dsn in headrace.toml" in told
    assert "provider.model" in told
    assert "kafka.topic" not in told


SECRETS = {
    "HEADRACE_KAFKA__SASL_PASSWORD": SECRET,
    "HEADRACE_KAFKA__SSL_KEY_PASSWORD": SECRET,
    "HEADRACE_PROVIDER__API_KEY": SECRET,
    "HEADRACE_PROVIDER__BASE_URL": f"http://me:{SECRET}@host/v1?api_key={SECRET}",
    "HEADRACE_STORE__DSN": f"postgresql://user:{SECRET}@host/db",
}


def test_secrets_show_in_no_repr_string_or_json() -> None:
    found = loaded(environ=SECRETS)
    shown = json.dumps([[one.name, one.value] for one in found.shown()])
    without_url = found.settings.model_copy(
        update={"provider": found.settings.provider.model_copy(update={"base_url": ""})}
    )
    for text in (shown, repr(without_url), str(without_url), without_url.model_dump_json()):
        assert SECRET not in text
    assert "postgresql://user:***@host/db" in shown
    assert "http://me:***@host/v1?api_key=***" in shown


def test_a_dsn_whose_password_is_not_quoted_is_masked_up_to_its_end() -> None:
    found = loaded(environ={"HEADRACE_STORE__DSN": f"postgresql://user:a/b?{SECRET}@c@host/db"})
    [dsn] = [one.value for one in found.shown() if one.name == "store.dsn"]
    assert dsn == "postgresql://user:***@host/db"


def test_a_refusal_shows_no_secret_in_its_text_its_traceback_or_its_causes() -> None:
    environ = {**SECRETS, "HEADRACE_HTTP__PORT": "no", "HEADRACE_KAFKA__SECURITY_PROTOCOL": "SASL_SSL"}
    toml = f'[provider]\napi_key = ["{SECRET}"]\n[store]\ndsn = {{ a = "{SECRET}" }}'
    for attempt in (("", environ), (toml, {})):
        with pytest.raises(ConfigurationError) as refused:
            loaded(*attempt)
        error: BaseException | None = refused.value
        told = "".join(traceback.format_exception(error)) if error else ""
        assert SECRET not in told
        assert error is not None
        assert error.__cause__ is None
        assert error.__context__ is None


@pytest.mark.parametrize(
    ("toml", "limits"),
    [
        ("", ["256", "250000", "2000000"]),
        ('[provider]\nkind = "tei"', ["32", "16384", "1000000"]),
        ('[provider]\nkind = "tei"\nmax_items = 128', ["128", "16384", "1000000"]),
    ],
)
def test_limits_are_shown_as_they_are_in_force(toml: str, limits: list[str]) -> None:
    shown = {one.name: one for one in loaded(toml).shown()}
    assert [shown[f"provider.{name}"].value for name in ("max_items", "max_tokens", "max_bytes")] == limits
    assert shown["provider.max_items"].source == ("file" if "128" in limits else "default")


def test_a_kind_of_server_that_is_not_known_is_answered_with_the_nearest_one() -> None:
    assert "did you mean ollama?" in refusal('[provider]\nkind = "olama"')
