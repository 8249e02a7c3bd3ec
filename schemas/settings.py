"""What can be configured, with its default and its meaning. Reading files and variables is not done here."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr

MIB = 1024 * 1024

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A section of headrace.toml: unknown names are refused, values never change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(Section):
    """Where messages come from and where dead letters go."""

    bootstrap_servers: str = Field(default="localhost:9092", description="brokers, separated by commas")
    topic: str = Field(default="docs.raw", description="documents to embed")
    dlq_topic: str = Field(default="docs.dlq", description="dead letters")
    parked_topic: str = Field(default="docs.parked", description="dead letters given up on after too many replays")
    group: str | None = Field(default=None, description="consumer group; headrace-<index> if unset")
    auto_offset_reset: Literal["earliest", "latest"] = Field(
        default="earliest", description="where a group without a commit starts"
    )
    session_timeout_s: Seconds = Field(default=10.0, description="a member silent for so long is expelled")
    drain_timeout_s: Seconds = Field(
        default=20.0, description="how long a stop or a rebalance waits for calls already sent"
    )
    commit_interval_s: Seconds = Field(default=1.0, description="time between commits")
    instance_id: str | None = Field(default=None, description="static membership; -n is added per child")
    partitions: Positive = Field(default=4, description="partitions of the topics that init creates")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_password_file: str | None = Field(default=None, description="file that holds the password")
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_key_password: SecretStr | None = None


class ProviderSettings(Section):
    """The embedding API and the limits of a call."""

    kind: Literal["openai", "azure", "voyage", "mistral", "jina", "tei", "ollama", "vllm", "infinity", "llama.cpp"] = (
        Field(default="openai", description="server: its fields, its errors, and its limits where none are set")
    )
    base_url: str | None = Field(default=None, description="with its /v1; /embeddings, or the kind's own, is appended")
    model: str | None = Field(default=None, description="name of the embedding model")
    dimensions: Positive | None = Field(default=None, description="length of a vector")
    api_key: SecretStr | None = None
    api_key_file: str | None = Field(default=None, description="file that holds the key; read again when it changes")
    concurrency: Positive = Field(default=8, description="calls at once")
    max_items: Positive | None = Field(default=None, description="texts a call; by the kind if unset, mostly 256")
    max_tokens: Positive | None = Field(
        default=None, description="tokens a call, counted as bytes/4; by the kind if unset, mostly 250000"
    )
    max_bytes: Positive | None = Field(
        default=None, description="bytes of text a call; by the kind if unset, mostly 2000000"
    )
    linger_ms: Annotated[int, Field(ge=0)] = Field(default=20, description="how long the oldest text waits for company")
    timeout_s: Seconds = Field(default=60.0, description="total budget of one call")
    max_attempts: Positive = Field(default=5, description="blamed failures before an input is given up")
    min_blame_s: Annotated[float, Field(ge=0)] = Field(
        default=60.0, description="time over which those failures must be spread"
    )
    on_deadline: Literal["wait", "dead-letter"] = Field(
        default="wait", description="what becomes of a document that waits for the provider longer than that"
    )
    deadline_s: Seconds = Field(default=600.0, description="a document that waits longer from its poll on is late")
    rpm: Positive | None = Field(default=None, description="requests a minute")
    tpm: Positive | None = Field(default=None, description="tokens a minute")
    quota_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    price_per_million_tokens: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None, description="for estimates and money_per_day, in any currency"
    )
    tokens_per_day: Positive | None = Field(
        default=None, description="intake stops when the group's ledger of the day (UTC) has reached it"
    )
    money_per_day: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="the same in money; needs price_per_million_tokens"
    )


class StoreSettings(Section):
    """Where vectors are stored."""

    kind: Literal["pgvector"] = "pgvector"
    dsn: SecretStr | None = Field(default=None, description="postgresql://user:password@host:port/database")
    index: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,47}$")] = Field(
        default="docs", description="schema that holds the index"
    )
    vector_type: Literal["vector", "halfvec"] = "vector"
    pool_size: Positive = Field(default=4, description="connections")
    ddl: bool = Field(default=True, description="false: print the SQL for a DBA instead of running it")
    pgbouncer: bool = Field(default=False, description="do without prepared statements and session locks")


class ChunkingSettings(Section):
    """How a text is cut into pieces. Part of the fingerprint of an index."""

    kind: Literal["auto", "text", "markdown"] = Field(default="auto", description="auto: by content type")
    max_tokens: Positive = Field(default=512, description="tokens a chunk")
    overlap: Annotated[int, Field(ge=0)] = Field(default=0, description="tokens that neighbours share")
    tokenizer: str | None = Field(default=None, description="path of a tokenizer.json; characters/4 if unset")


class WorkerSettings(Section):
    """What one worker may hold in memory, and what it does anew."""

    in_flight_bytes: Positive = Field(default=64 * MIB, description="bytes of documents and vectors in flight")
    in_flight_documents: Positive = 20_000
    workers: Positive = Field(default=1, description="processes")
    max_document_bytes: Positive = Field(default=16 * MIB, description="a larger message is a dead letter")
    max_memory_percent: Annotated[float, Field(gt=0, le=100)] = Field(
        default=80.0, description="of the memory of the control group or machine; intake waits above"
    )
    stuck_after_s: Seconds = 300.0
    force_before: AwareDatetime | None = Field(
        default=None, description="what was embedded before is embedded again; a time with its zone; run --force: now"
    )


class FloodSettings(Section):
    """When dead letters are too many to be the documents' fault."""

    window: Positive = 100
    ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    run: Positive = 50


class HttpSettings(Section):
    """Where status, health and metrics are served."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = Field(default=8321, description="0 = off")


class TelemetrySettings(Section):
    """Logs, metrics and traces."""

    log_format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto: console on a terminal, JSON elsewhere"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    otlp_endpoint: str | None = Field(default=None, description="http://collector:4318")


class Settings(Section):
    """Everything that can be configured."""

    kafka: KafkaSettings = KafkaSettings()
    provider: ProviderSettings = ProviderSettings()
    store: StoreSettings = StoreSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    worker: WorkerSettings = WorkerSettings()
    flood: FloodSettings = FloodSettings()
    http: HttpSettings = HttpSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @property
    def group(self) -> str:
        """The consumer group: two indexes never share one by accident."""
        return self.kafka.group or f"headrace-{self.store.index}"

    @property
    def outcomes_topic(self) -> str:
        """The compacted topic that says what became of each dead letter."""
        return f"{self.kafka.dlq_topic}.outcomes"
