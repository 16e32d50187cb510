"""One model's image on its way from the stack it was tested in to the next: what it lacks, and the copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_build.errors import RegistryError, SignatureError
from model_build.limits import limits
from model_build.oci.auth import is_loopback
from model_build.oci.copy import Where, copy_image, lacking
from model_build.supply.copying import Copied, copy_signed
from model_build.supply.tested import Record, records
from ops.model_images import ModelImage
from ops.test import SUITES
from provider.finding import Finder


@dataclass(frozen=True)
class Promotion:
    """An image as the stack `origin` runs it, and the target's resource as its preview plans it and as it is now."""

    project: Path
    origin: str
    source: ModelImage
    target: ModelImage
    before: ModelImage | None

    @property
    def model(self) -> str:
        """The model's name."""
        return self.source.model

    @property
    def digest(self) -> str:
        """Digest of the image."""
        return str(self.source.digest)

    def lacks(self) -> Iterator[str]:
        """Yield what keeps the image from the target, each in a line; raises RegistryError."""
        if self.target.inputs != self.source.inputs:
            yield self._other_inputs()
            return
        finder = self._finder()
        if not finder.trust.looks_at(finder.wanted.push):
            yield (
                f"registry.publicKeys: is not set in the target, and on {finder.wanted.push} no image counts without a "
                "signature; set it"
            )
            return
        yield from self._wrong_report(finder)
        yield from self._not_tested()
        yield from self._other_digest(finder)

    def tested(self) -> dict[str, Record]:
        """Return suite → what the origin's tests of this very image recorded last; raises SignatureError."""
        trust = self.source.trust(self.project)
        repository = self.source.repository(self.project)
        if not trust.required and not is_loopback(repository.host):
            return {}
        keys = trust.public_keys() if trust.required else None
        found = records(repository.subject(self.digest), keys)
        return {one.suite: one for one in found if one.stack == self.origin and one.inputs == self.source.inputs}

    def to_send(self) -> int:
        """Return the bytes of the blobs that the target's repository lacks."""
        source, target = self._places()
        return sum({one.digest: one.size for each in self._images() for one in lacking(each, source, target)}.values())

    def copy(self, told: Callable[[int, int], None]) -> Copied:
        """Copy image, referrers and signatures, then set the tag that the target finds it by; raises RegistryError."""
        source, target = self._places()
        for runtime in self._images()[1:]:
            copy_image(runtime, source, target, told)
        copied = copy_signed(self.source.repository(self.project).subject(self.digest), target, told)
        finder = self._finder()
        finder.repository.tag(self.digest, finder.wanted.inputs_tag)
        found = finder.find()
        if found.made is None or found.made.digest != self.digest:
            raise RegistryError(
                f"{self.model}: {finder.repository.host}/{finder.repository.name} has {self.digest} now, and does not "
                f"count ({found.why_not or 'it went'}); run `ops promote` again"
            )
        return copied

    def _images(self) -> list[str]:
        """Return the image, then the runtime images beside it that weights are mounted into."""
        repository = self.source.repository(self.project)
        beside = [one for one in sorted(repository.mounted(self.digest)) if repository.digest(one) is not None]
        return [self.digest, *beside]

    def _places(self) -> tuple[Where, Where]:
        source, target = (one.repository(self.project) for one in (self.source, self.target))
        return Where(source.registry, source.name), Where(target.registry, target.name)

    def _finder(self) -> Finder:
        found = self.target.finder(self.project)
        if found is None:
            raise RegistryError(f"{self.model}: the target's preview does not know all of its inputs; run it by hand")
        return found

    def _other_inputs(self) -> str:
        if self.target.inputs is None:
            return (
                "inputs: the target's preview does not know them, as where its base is a tag that no `up` has pinned "
                "yet; name the base by digest"
            )
        ours, theirs = self.source.mapping("parts"), self.target.mapping("parts")
        differing = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
        return (
            f"inputs: {self.origin} was built from {self.source.inputs}, the target asks for {self.target.inputs}; "
            f"these differ: {', '.join(differing) or 'unknown parts'}; check out the commit that {self.origin} runs, "
            "and give both stacks one base"
        )

    def _wrong_report(self, finder: Finder) -> Iterator[str]:
        repository = self.source.repository(self.project)
        try:
            if finder.trust.required:
                keys = finder.trust.public_keys()
                report = repository.signed_report(self.digest, keys, finder.wanted.inputs_hash)
            else:
                report = repository.report(self.digest) or {}
        except SignatureError as error:
            yield f"signature: {error}"
            return
        yield from missed(report, self.target.recipe)

    def _not_tested(self) -> Iterator[str]:
        try:
            found = self.tested()
        except SignatureError as error:
            yield f"tests: {error}"
            return
        for suite in SUITES:
            record = found.get(suite)
            if record is None:
                yield (
                    f"tests: no {suite} test of {self.digest} in {self.origin} is recorded under a key that it trusts; "
                    f"run `python -m ops test {self.origin}`"
                )
            elif not record.ok:
                yield (
                    f"tests: the {suite} test of {self.digest} in {self.origin} failed at {record.ended} "
                    f"({', '.join(record.failed)}); correct that, and run `python -m ops test {self.origin}`"
                )

    def _other_digest(self, finder: Finder) -> Iterator[str]:
        before = self.before
        place = (finder.repository.host, finder.repository.name)
        if before is not None and before.inputs == self.source.inputs and before.digest != self.digest:
            there = before.repository(self.project)
            if (there.host, there.name) == place:
                yield (
                    f"digest: the target runs {before.digest}, made from the same inputs, and so keeps it; pin the "
                    f"other with `modelstack:models.{self.model}.pin: {self.digest}`"
                )
                return
        made = finder.find().made
        if made is not None and made.digest != self.digest:
            yield (
                f"digest: {place[0]}/{place[1]} has {made.digest} of the same inputs, which the target takes; remove "
                f"its tag {finder.wanted.inputs_tag} if nothing runs it"
            )


def missed(report: Mapping[str, Any], recipe: Mapping[str, Any]) -> list[str]:
    """Return the gates of `recipe` that the figures of a report miss; no figures are a miss."""
    metrics, gates = report.get("metrics"), recipe.get("gates")
    if "refused" in report or not isinstance(metrics, Mapping) or not isinstance(gates, Mapping):
        return ["gates: no report of figures is attached that the same key vouches for; build the image again"]
    try:
        return limits(metrics, gates)
    except (KeyError, TypeError, ValueError) as error:
        return [f"gates: the report lacks a figure ({error!r}); build the image again"]
