"""What one preview found; as JSON it may come from an untrusted job, so that every field is held to its form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ops.engine import EngineError

Operation = Literal["create", "update", "replace", "delete", "same", "read", "import", "refresh", "other"]
Severity = Literal["error", "warning", "info"]
Text = str  # of others, escaped where it is told
Digest = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Fact(BaseModel):
    """Never changed once it is read; a field that is not known is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Change(Fact):
    """What happens to one resource; `paths` are the properties that differ, `replaces` those that ask for a new one."""

    kind: Text
    name: Text
    operation: Operation
    paths: tuple[Text, ...] = ()
    replaces: tuple[Text, ...] = ()


class Layer(Fact):
    """A layer of an image and its bytes."""

    digest: Digest
    size: Annotated[int, Field(ge=0, le=2**60)]


class Version(Fact):
    """A model's image; without a digest it is not built yet. `metrics` are what its gates measured."""

    digest: Digest = ""
    metrics: dict[Text, Finite] = {}
    layers: tuple[Layer, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes of all layers; 0 where they are not known."""
        return sum(layer.size for layer in self.layers)


class Model(Fact):
    """A ModelImage: what the stack runs, what it will run, why, and the limits that its gates set."""

    name: Text
    operation: Operation
    runs: Version | None = None
    will_run: Version | None = None
    why: tuple[Text, ...] = ()
    gates: dict[Text, Finite] = {}

    @property
    def changes(self) -> bool:
        """Whether anything happens to it."""
        return self.operation not in ("same", "read", "refresh")


class Violation(Fact):
    """A policy that a resource does not keep."""

    policy: Text
    pack: Text
    level: Text
    kind: Text = ""
    name: Text = ""
    message: Text = ""


class Pack(Fact):
    """A policy pack and how many of its policies every resource kept, of those that were asked."""

    name: Text
    version: Text = ""
    kept: int = 0
    asked: int = 0


class Message(Fact):
    """What the engine, the program or a provider said, of a resource or of none."""

    severity: Severity
    text: Text
    kind: Text = ""
    name: Text = ""


class Money(Fact):
    """Money a month, before and after; None where that side has none, or only `up` knows it."""

    before: Finite | None = None
    after: Finite | None = None


class Cost(Money):
    """What a stack costs, as its output `cost` tells it: with what is each model's, and what is not in it."""

    currency: Annotated[str, Field(max_length=16)] = ""
    models: dict[Text, Money] = {}
    not_counted: tuple[Text, ...] = ()


class Preview(Fact):
    """One stack's preview; `code` is the engine's exit code, `reason` its last words where no event says why."""

    stack: Text
    code: Annotated[int, Field(ge=-255, le=255)]
    reason: Text = ""
    notice: Text = ""
    """What a reader has to know of how it was made: without credentials, on a state of its own."""
    changes: tuple[Change, ...] = ()
    models: tuple[Model, ...] = ()
    packs: tuple[Pack, ...] = ()
    violations: tuple[Violation, ...] = ()
    messages: tuple[Message, ...] = ()
    cost: Cost | None = None

    @property
    def failed(self) -> bool:
        """Whether the preview failed."""
        return self.code != 0

    @property
    def counts(self) -> dict[Operation, int]:
        """Return how many resources each operation is on."""
        found: dict[Operation, int] = {}
        for change in self.changes:
            found[change.operation] = found.get(change.operation, 0) + 1
        return found

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing to tell but that nothing changes."""
        told = self.failed or self.violations or any(one.severity != "info" for one in self.messages)
        return not told and all(one.operation == "same" for one in self.changes) and not self._cost_changes

    @property
    def _cost_changes(self) -> bool:
        return self.cost is not None and self.cost.before != self.cost.after


class Previews(Fact):
    """Several previews, told together; `commit` is what they were made of."""

    version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{7,64})?$")] = ""
    previews: tuple[Preview, ...] = ()

    @property
    def code(self) -> int:
        """Return the exit code of the first preview that failed, 0 where none did."""
        return next((one.code for one in self.previews if one.failed), 0)


def parse(text: str) -> Previews:
    """Read what `--format json` wrote; raises EngineError where it is something else."""
    try:
        return Previews.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise EngineError(
            f"--from: {place}: {first['msg']}; give a file that `ops preview --comment FILE --format json` wrote"
        ) from error


def told(previews: Sequence[Preview], name: str, commit: str) -> Previews:
    """Return previews under the name of their comment; raises EngineError for a name that cannot mark one."""
    try:
        return Previews(name=name, commit=commit, previews=tuple(previews))
    except ValidationError as error:
        raise EngineError(
            f"--name: {name!r} must be 1 to 64 letters, digits, `.`, `_` or `-`; name the comment so"
        ) from error
