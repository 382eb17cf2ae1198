"""Configuration: one TOML file, every field with its unit and default.

The models below are what the rest of the agent reads. Durations are nanoseconds and paths are
absolute (relative ones are taken from the file's own folder) once `load` has read the file; it
reports every fault at once, with file, line, key and the nearest valid name.
`configs/reference.toml` shows every key; a test keeps the two together.

Secrets are never values here: `Login` and `Tls` name where they are, `credentials` gets them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, PrivateAttr

from agent.configuration.connection import Broker, Login, Served, Tls
from agent.configuration.contract import Compatibility, ContractRules, Hold, contract_beside
from agent.configuration.hooks import AnyHook
from agent.configuration.loops import Loop
from agent.configuration.people import Person
from agent.configuration.retraining import Retraining, Trial
from agent.configuration.values import (
    Budget,
    Duration,
    FilePath,
    Listen,
    LossName,
    Name,
    Port,
    Range,
    RawCodes,
    Section,
    TopicLevel,
    budget_per_ns,
    duration_ns,
)


class Gateway(Section):
    """`[gateway]`: who this agent is, the promise on false alarms, limits of what it keeps."""

    site: TopicLevel
    name: TopicLevel
    false_alarms: Budget = "1 per 30 days"
    state_directory: FilePath = ""  # default: $STATE_DIRECTORY, else ./state beside the file
    journal_limit_mb: int = Field(default=2048, ge=1)  # MB on disk; the oldest entries go first
    summary: Duration = duration_ns("30min")  # window of one summary

    @property
    def false_alarms_per_ns(self) -> float:
        """The budget of the whole gateway as a rate, in false alarms per nanosecond."""
        return budget_per_ns(self.false_alarms)


class SourceSection(Section):
    """Base of every `[sources.<name>]`: what a protocol is to the rest of the agent, as facts."""

    by_exception: ClassVar[bool] = False  # only changes are reported: silence means none
    has_own_security: ClassVar[bool] = False  # and needs no TLS below it
    has_registers: ClassVar[bool] = False  # values are raw bits: see `Tag.not_available`
    has_session: ClassVar[bool] = False  # two of one `client_id` throw each other out
    protocol: str
    compatibility: Compatibility = "backward"  # which differences from the contract are decided on
    hold: Hold = ""  # "hold" or "report"; default: report for [contract] report_first, then hold

    @property
    def place(self) -> tuple[str, int]:
        """Host and TCP port of the device, server or broker."""
        raise NotImplementedError

    @property
    def interval_ns(self) -> int | None:
        """Sampling interval of tags that name none; None where the other side decides."""
        return None

    @property
    def report_ns(self) -> int:
        """How long the other side gathers changes before it reports them; 0: not at all."""
        return 0

    @property
    def certificates(self) -> tuple[tuple[str, str], ...]:
        """Files (certificate, its private key or "") of the protocol's own security."""
        return ()

    def where(self, address: str) -> str:
        """What of a tag's address is the place, without how its value is to be read."""
        return address

    def refusal(self, address: str) -> str:
        """How people are told that the other side knows no such address."""
        return f"the other side refuses {self.where(address)}"


class OpcUaSource(Login, SourceSection):
    """`[sources.<name>]` with protocol "opcua"."""

    by_exception = has_own_security = True
    protocol: Literal["opcua"]
    endpoint: Annotated[str, Field(pattern=r"^opc\.tcp://[^/\s]+(/\S*)?$")]
    security: Literal["None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"] = (
        "None"
    )
    mode: Literal["Sign", "SignAndEncrypt"] = "SignAndEncrypt"  # where security is not "None"
    certificate: FilePath = ""  # DER or PEM, the agent's application instance certificate
    private_key: FilePath = ""  # PEM or DER
    server_certificate: FilePath = ""  # the only server certificate that is trusted
    publishing: Duration = duration_ns("500ms")  # publishing interval of the subscription
    timeout: Duration = duration_ns("5s")
    contract_check: Duration = duration_ns("60s")  # how often what is served is read again

    def refusal(self, address: str) -> str:
        """As OPC UA calls it."""
        return f"the server refuses {self.where(address)}: unknown node"

    @property
    def place(self) -> tuple[str, int]:
        """From the endpoint."""
        url = urlsplit(self.endpoint)
        return url.hostname or "", url.port or 4840

    @property
    def report_ns(self) -> int:
        """The publishing interval."""
        return self.publishing

    @property
    def certificates(self) -> tuple[tuple[str, str], ...]:
        """The agent's own, then the server's, where the connection is secured."""
        if self.security == "None" or not (self.certificate and self.private_key):
            return ()
        pinned = ((self.server_certificate, ""),) if self.server_certificate else ()
        return ((self.certificate, self.private_key), *pinned)


class ModbusSource(SourceSection):
    """`[sources.<name>]` with protocol "modbus" (TCP)."""

    has_registers = True
    protocol: Literal["modbus"]
    host: Name
    port: Port = 502
    unit: int = Field(default=1, ge=0, le=255)
    every: Duration = duration_ns("1s")
    timeout: Duration = duration_ns("2s")
    max_gap: int = Field(default=16, ge=0, le=124)  # registers read needlessly to join requests
    contract_check: Duration = duration_ns("60s")  # how often the device is asked who it is

    def where(self, address: str) -> str:
        """Area and offset."""
        return " ".join(address.split()[:2])

    def refusal(self, address: str) -> str:
        """As Modbus calls it: exceptions 2, 1 and 3."""
        cause = "illegal data address, function or value"
        return f"the device refuses {self.where(address)}: {cause}"

    @property
    def place(self) -> tuple[str, int]:
        """As configured."""
        return self.host, self.port

    @property
    def interval_ns(self) -> int:
        """The polling interval."""
        return self.every


class MqttSource(Login, Tls, SourceSection):
    """`[sources.<name>]` with protocol "mqtt"."""

    has_session = True
    protocol: Literal["mqtt"]
    host: Name
    port: Port = 1883
    client_id: str = ""  # default: fieldwarden-<gateway>-<source>
    keepalive: Duration = duration_ns("15s")

    def refusal(self, address: str) -> str:
        """As MQTT calls it."""
        return f"the broker refuses {self.where(address)}"

    @property
    def place(self) -> tuple[str, int]:
        """As configured."""
        return self.host, self.port


Source = Annotated[OpcUaSource | ModbusSource | MqttSource, Field(discriminator="protocol")]
SOURCE_TABLES: Mapping[str, type[SourceSection]] = {
    protocol: table
    for table in get_args(get_args(Source)[0])
    for protocol in get_args(table.model_fields["protocol"].annotation)
}
"""`protocol` of a source -> its table."""


Kind = Literal[
    "", "measurement", "totaliser", "counter", "run hours", "angle", "set point", "command",
    "state", "constant", "quantised",
]


class Tag(Section):
    """`[tags."<name>"]`, or a row of a tag list."""

    source: str
    address: Name
    unit: str = ""
    data_type: str = ""
    interval: Duration | None = None  # nominal sampling interval; default: the source's
    max_silence: Duration | None = None  # longer than this without news is stale
    kind: Kind = ""  # what it is besides a measurement, and is therefore judged by
    rolls_over_at: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None  # of a counter
    period: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None  # angle's full circle
    physical: Range | None = None  # low and high end of what the sensor can say
    not_available: RawCodes = ()  # raw values that mean "no value": "0x8000" (bits) or numbers
    description: str = ""


def _somebody(text: str) -> str:
    if not text.strip():
        raise ValueError("blank: it names nobody")
    return text


class Owner(Section):
    """`owner = {...}` of a model: who must act. No owner, no start."""

    team: Annotated[Name, AfterValidator(_somebody)]
    contact: Annotated[Name, AfterValidator(_somebody)]


class Label(Section):
    """One of a model's `labels`: a tag that brings the truth for an output, later."""

    tag: str = ""  # without one it comes by the API only
    of: str
    within: Duration  # how late a truth may come after what it is of
    loss: LossName = "absolute"
    tolerance: Annotated[float, Field(ge=0, le=10)] = 0.2  # of the mean loss, before retraining
    classes: list[str] = Field(default=[], max_length=64)  # that are told apart, of texts


class Mode(Section):
    """`[models.<name>.mode]`: the tag whose value says in which mode the plant runs.

    Each mode of the record has its own baseline; a change is masked as long as it took there.
    """

    tag: str
    names: dict[str, str] = Field(default={})  # value of the tag, as text -> what people call it


class Model(Section):
    """`[models.<name>]`: what is guarded."""

    version: Name
    owner: Owner
    baseline: FilePath
    scan: Duration
    inputs: list[str] = Field(min_length=1)
    optional: list[str] = Field(default=[])  # those of the inputs whose loss is only a caution
    outputs: list[str] = Field(default=[])
    labels: list[Label] = Field(default=[])
    mode: Mode | None = None
    retraining: Retraining = Retraining()
    trial: Trial = Trial()
    reviewers: list[str] = Field(default=[])  # of [people], who sign its reports; []: anybody


class Upstream(Broker):
    """`[upstream]`: the MQTT broker of central ops."""

    format: Literal["json"] = "json"
    outbox_limit_mb: int = Field(default=512, ge=1)
    delivery: Literal["auto", "central", "broker"] = "auto"


class Status(Served):
    """`[status]`: the local page, API and metrics; the socket that the command acts through."""

    listen: Listen = "127.0.0.1:8686"
    socket: FilePath = ""  # default: agent.sock in the state directory
    socket_group: str = ""  # Unix group whose members may connect; default: the agent's own
    runtime_directory: FilePath = ""  # for verdict files; default: $RUNTIME_DIRECTORY, else state's


class Configuration(Section):
    """The whole file; `file` is where it was read from."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_number: Literal[1] = Field(alias="schema")
    gateway: Gateway
    sources: dict[str, Source] = Field(max_length=64)
    tags: dict[str, Tag] = Field(max_length=20_000)
    tag_lists: list[FilePath] = Field(default=[])  # CSV files with one tag a row, added to `tags`
    loops: dict[str, Loop] = Field(default={}, max_length=5_000)
    models: dict[str, Model] = Field(default={}, max_length=256)
    upstream: Upstream | None = None
    status: Status = Status()
    people: dict[str, Person] = Field(default={}, max_length=256)  # who may act, by name
    contract: ContractRules = ContractRules()
    hooks: dict[str, AnyHook] = Field(default={}, max_length=16)  # who else is told

    _file: Path | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        """Keep where the file is, for reload and for what is printed."""
        self._file = (context or {}).get("file")

    @property
    def file(self) -> Path | None:
        """The file that this was read from, None where a program made it."""
        return self._file

    @property
    def store_path(self) -> Path:
        """The agent's store, where `load` found the state directory."""
        return Path(self.gateway.state_directory or "state") / "fieldwarden.db"

    @property
    def contract_path(self) -> Path | None:
        """Where the contract is, beside the file; None where there is no file."""
        return self.file and contract_beside(self.file)

    @property
    def socket_path(self) -> Path:
        """The Unix socket that people act through."""
        chosen = self.status.socket
        return Path(chosen) if chosen else self.store_path.with_name("agent.sock")

    @property
    def runtime_path(self) -> Path:
        """Where models find the files with their verdicts, in a folder of their own."""
        chosen = self.status.runtime_directory
        return Path(chosen) if chosen else self.store_path.parent

    @property
    def subjects(self) -> frozenset[str]:
        """The full name of every tag, source and model, such as ``tag/NAME``."""
        named: dict[str, Iterable[str]] = {
            "tag": self.tags, "source": self.sources, "model": self.models
        }
        return frozenset(f"{place}/{name}" for place, names in named.items() for name in names)

    def role(self, tag: str) -> Literal["input", "output", "label", "mode", "none"]:
        """What a tag is for: a model's label, else output, input or mode; none of these."""
        if any(label.tag == tag for model in self.models.values() for label in model.labels):
            return "label"
        if any(tag in model.outputs for model in self.models.values()):
            return "output"
        if any(tag in model.inputs for model in self.models.values()):
            return "input"
        modes = [model.mode.tag for model in self.models.values() if model.mode]
        return "mode" if tag in modes else "none"
