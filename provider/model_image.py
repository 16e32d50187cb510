"""ModelImage: an image by digest, built only where no image of the same inputs exists."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi.provider.experimental.provider import (
    CheckRequest,
    CheckResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)

from model_build.errors import BuildError, RegistryError
from model_build.places import cache_root
from provider import holding
from provider.build import Builder, Order
from provider.differences import compare
from provider.engine_log import EngineLog
from provider.errors import ProviderError
from provider.finding import Finder, Found, Made
from provider.naming import image_id, runtime_tag, split_image_id, stack_tag
from provider.registry import Repository
from provider.values import Fields, Properties, unknown, wrap
from provider.versions import versions
from provider.wanted import (
    DERIVED,
    FIRST,
    OPTIONAL,
    ORIGIN,
    PLACES_OF_KEYS,
    REQUIRED,
    Wanted,
    derive,
    failure_of,
    failures,
)

RESULTS = ("image", "runtimeImage", "digest", "layers", "steps", "metrics", "report")
COMPARED = (
    *REQUIRED,
    *(key for key in OPTIONAL if key not in (*PLACES_OF_KEYS, ORIGIN)),
    *("inputsHash", "trusts", "tag"),
)
REPLACING = ("push", "repository")


@dataclass(frozen=True)
class ModelImageType:
    """Answers the engine for ModelImage resources of the project in `project`."""

    project: Path
    log: EngineLog
    builder: Builder

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Validate the inputs, the recipe with them, and add the inputs' hash and what changed."""
        given = {key: value for key, value in request.new_inputs.items() if key not in DERIVED}
        wrong = failures(given)
        if wrong:
            return CheckResponse(failures=wrong)
        try:
            derived = await asyncio.to_thread(derive, given, request.old_inputs, self.project)
        except (BuildError, ProviderError) as error:
            return CheckResponse(failures=[failure_of(error)])
        return CheckResponse(inputs={**given, **derived})

    async def diff(self, request: DiffRequest) -> DiffResponse:
        """Tell what changed; another registry or repository asks for a new resource."""
        tag = {"tag": wrap(stack_tag(request.urn))}
        news = {**request.new_inputs, **tag}
        return compare(request.old_state, news, COMPARED, replacing=REPLACING, detailed=("parsed", "reason"))

    async def create(self, request: CreateRequest) -> CreateResponse:
        """Find or build the image and hold it by the stack's tag; a preview only looks."""
        tag = stack_tag(request.urn)
        wanted = Wanted.of(request.properties)
        if request.preview:
            return CreateResponse(properties=await self._foretold(request.urn, request.properties, wanted))
        if wanted is None:
            raise ProviderError("inputs: a value is still unknown during `up`; the program must give every input")
        made = await self._have(request.urn, wanted)
        await asyncio.to_thread(_hold, self._finder(wanted).repository, tag, wanted, made, Fields({}))
        outputs = _outputs(request.properties, wanted, made, tag) | versions({}, wanted, made)
        return CreateResponse(image_id(wanted.push, wanted.repository, tag), outputs)

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        """Find or build the image of the new inputs; the one served until now is held a change longer."""
        tag = stack_tag(request.urn)
        wanted, olds = Wanted.of(request.news), Fields(request.olds)
        kept = _kept(request.olds, wanted)
        if request.preview and kept is not None and wanted is not None and await self._foretells(wanted, kept):
            return UpdateResponse(_outputs(request.news, wanted, kept, tag))
        if request.preview:
            return UpdateResponse(await self._foretold(request.urn, request.news, wanted))
        if wanted is None:
            raise ProviderError("inputs: a value is still unknown during `up`; the program must give every input")
        finder = self._finder(wanted)
        repository = finder.repository
        if kept is None or not await asyncio.to_thread(finder.counts, kept):
            kept = await self._have(request.urn, wanted)
        await asyncio.to_thread(_hold, repository, tag, wanted, kept, olds)
        if (former := olds.text("tag")) and former != tag:
            await asyncio.to_thread(_let_go, repository, former, None)
        return UpdateResponse(_outputs(request.news, wanted, kept, tag) | versions(request.olds, wanted, kept))

    async def read(self, request: ReadRequest) -> ReadResponse:
        """Look at the registry; an image that is gone is a resource that is gone."""
        try:
            push, name, tag = split_image_id(request.resource_id)
        except ValueError as error:
            raise ProviderError(str(error)) from error
        inputs = request.inputs or {"push": wrap(push), "repository": wrap(name)}
        fields = Fields({**inputs, **request.properties})
        repository = Repository(push, name, fields.text("dockerConfig"), self.project)
        # After `pulumi stack rename` the id still names the former tag; the state knows the one that holds.
        tag = fields.text("tag") or tag
        held = await asyncio.to_thread(repository.digest, tag)
        digest = fields.text("digest") or held
        if digest is None or (digest != held and await asyncio.to_thread(repository.digest, digest) is None):
            return ReadResponse()
        outputs = dict(request.properties)
        if "digest" not in outputs:
            wanted = Wanted.of(inputs) or Wanted("", "", push, push, name, None, "")
            finder = self._finder(wanted)
            made = await asyncio.to_thread(finder.made_of, digest, None)
            # The stack's tag alone says no more than that of the inputs.
            if not await asyncio.to_thread(finder.counts, made):
                return ReadResponse()
            outputs = _outputs(inputs, wanted, made, tag)
        # A tag that another hand moved shows as a change, and `up` puts it back.
        outputs["tag"] = wrap(tag if digest == held else "")
        return ReadResponse(request.resource_id, outputs, inputs)

    async def delete(self, request: DeleteRequest) -> None:
        """Let go of the image; with its last holder it goes from the registry."""
        push, name, tag = split_image_id(request.resource_id)
        fields = Fields(request.properties)
        repository = Repository(push, name, fields.text("dockerConfig"), self.project)
        await asyncio.to_thread(_let_go, repository, fields.text("tag") or tag, fields.text("digest"))

    async def _foretold(self, urn: str, inputs: Properties, wanted: Wanted | None) -> Properties:
        reason = Fields(inputs).text("reason") or "an input is known during `up` only"
        tag = stack_tag(urn)
        looked = await self._look(urn, wanted) if wanted is not None else Found(None)
        found = looked.made
        if wanted is not None and wanted.pin and looked.asked and found is None:
            raise _pin_is_gone(wanted, looked)
        if wanted is None or found is None:
            await self.log.info(urn, f"to be built ({'; '.join(filter(None, (reason, looked.why_not)))})")
            if wanted is not None and wanted.public_keys and wanted.signing_key is None:
                await self.log.caution(
                    urn, "signingKey is not set, so `up` will refuse; build and sign it elsewhere first"
                )
            return {**inputs, **dict.fromkeys(RESULTS, unknown()), "tag": wrap(tag)}
        because = "" if reason == FIRST else f" ({reason})"
        same = "is pinned, whatever the recipe says" if wanted.pin else f"was made from the same inputs{because}"
        copied = f", to be copied from {looked.origin}" if looked.origin else ""
        await self.log.info(urn, f"nothing to build: {found.digest[:19]} {same}{copied}")
        return _outputs(inputs, wanted, found, tag)

    async def _look(self, urn: str, wanted: Wanted) -> Found:
        try:
            return await asyncio.to_thread(self._finder(wanted).find)
        except RegistryError as error:
            await self.log.caution(urn, f"{error}; whether the image exists shows during `up`")
            return Found(None, asked=False)

    async def _foretells(self, wanted: Wanted, kept: Made) -> bool:
        """Return whether `up` will keep an image, as far as a preview can tell: unsigned ones without a look."""
        finder = self._finder(wanted)
        if not finder.trust.required:
            return True
        try:
            return await asyncio.to_thread(finder.counts, kept)
        except RegistryError:
            return False

    async def _have(self, urn: str, wanted: Wanted) -> Made:
        finder = self._finder(wanted)
        found = await asyncio.to_thread(finder.find)
        if found.made is not None:
            if found.origin:
                await asyncio.to_thread(finder.copy, found.made, found.origin)
            copied = f", copied from {found.origin}" if found.origin else ""
            await self.log.info(
                urn, f"nothing to build: {found.made.digest[:19]} was made from the same inputs{copied}"
            )
            return found.made
        if wanted.pin:
            raise _pin_is_gone(wanted, found)
        order = Order(
            recipe=(self.project / wanted.recipe).resolve(),
            destination=f"{wanted.push}/{wanted.repository}",
            base=wanted.base,
            docker_config=None if wanted.docker_config is None else self.project / wanted.docker_config,
            key=await asyncio.to_thread(finder.trust.signing_key),
        )
        result = await self.builder.build(order, lambda message: self.log.status(urn, message))
        made = _made(result, wanted)
        # Nothing is deployed on the word of the process that built it.
        await asyncio.to_thread(finder.require_signed, made.digest)
        made = await asyncio.to_thread(finder.made_of, made.digest, made.told)
        await self.log.info(urn, _summary(made))
        return made

    def _finder(self, wanted: Wanted) -> Finder:
        return Finder(wanted, self.project)


def _hold(repository: Repository, tag: str, wanted: Wanted, made: Made, olds: Fields) -> None:
    # The runtime image first: whoever finds the model's finds what it is mounted into.
    if made.runtime is not None and not wanted.is_base(made.runtime):
        holding.hold(repository, runtime_tag(tag), made.runtime, _digest_in(olds.text("runtimeImage")))
    holding.hold(repository, tag, made.digest, olds.text("digest"))


def _let_go(repository: Repository, tag: str, digest: str | None) -> None:
    holding.let_go(repository, tag, digest)
    holding.let_go(repository, runtime_tag(tag), None)


def _pin_is_gone(wanted: Wanted, found: Found) -> ProviderError:
    why = found.why_not or "is not there, or lacks its runtime image"
    return ProviderError(
        f"pin: {wanted.push}/{wanted.repository}@{wanted.pin} {why}; pin a version that `python -m ops history` "
        "names, or remove the pin"
    )


def _digest_in(reference: str | None) -> str | None:
    return reference.partition("@")[2] or None if reference else None


def _kept(olds: Properties, wanted: Wanted | None) -> Made | None:
    """Return the image in state where the new inputs are the same and lie in the same place."""
    fields = Fields(olds)
    digest = fields.text("digest")
    if wanted is None or digest is None:
        return None
    before = (fields.text("inputsHash"), fields.text("push"), fields.text("repository"))
    if before != (wanted.inputs_hash, wanted.push, wanted.repository) or wanted.pin not in (None, digest):
        return None
    told: dict[str, Any] = {key: olds[key] for key in ("steps", "metrics", "report", "layers") if key in olds}
    return Made(digest, told, _digest_in(fields.text("runtimeImage")))


def _made(result: dict[str, Any], wanted: Wanted) -> Made:
    digest = re.search(r"@(sha256:[0-9a-f]{64})$", str(result.get("image")))
    if digest is None:
        raise ProviderError(f"model_build: result names the image {result.get('image')!r}, which has no digest")
    if result.get("inputs") != wanted.inputs_hash:
        raise ProviderError(
            f"{wanted.recipe}: its sources changed while they were built (inputs {wanted.inputs_hash[:12]} became "
            f"{str(result.get('inputs'))[:12]}); run `pulumi up` again"
        )
    return Made(digest.group(1), result, _digest_in(result.get("runtime_image")))


def _outputs(inputs: Properties, wanted: Wanted, made: Made, tag: str) -> Properties:
    told = made.told
    outputs = {
        "image": wanted.image(made.digest),
        "runtimeImage": wanted.runtime_image(made.runtime),
        "digest": made.digest,
        "tag": tag,
        "layers": told.get("layers") or [],
        "steps": told.get("steps") or [],
        "metrics": told.get("metrics") or {},
        "report": told.get("page") or told.get("report") or "",
    }
    return {**inputs, **{key: wrap(value) for key, value in outputs.items()}}


def _summary(made: Made) -> str:
    seconds = sum(float(step.get("seconds") or 0) for step in made.told.get("steps") or [])
    metrics = made.told.get("metrics") or {}
    found = next((name for name in ("accuracy", "cosine") if isinstance(metrics.get(name), float)), None)
    told = f", {found} {metrics[found]:.2%}" if found else ""
    page = made.told.get("page") or made.told.get("report")
    # Told whole here alone: a state is read on other machines, and names the place below the cache.
    where = f"; report: {cache_root() / page}" if page else ""
    return f"built {made.digest[:19]} in {seconds:.1f} s{told}{where}"
