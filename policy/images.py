"""What pods run: images by digest, of which those of models are signed and went through gates."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy.node import Node
from policy.pods import pods_of
from policy.rule import Facts, Finding, Resource, Rule, bad

DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
OCI = re.compile(r"oci(\+native)?://")
MODEL_IMAGE = "modelstack:index:ModelImage"
# What the gates of a recipe hold a model's answers to; size and speed alone let a wrong model pass.
OF_ANSWERS = ("min_accuracy", "min_cosine", "min_agreement", "max_drop")


def by_digest(resource: Resource, _facts: Facts) -> Iterator[Finding]:
    """Find images whose content another push can change."""
    for image in _images(resource):
        if image.text and not DIGEST.fullmatch(image.text):
            yield bad(image, "name it by digest, as NAME@sha256:…; `crane digest NAME:TAG` tells it", "is no digest")


def _images(resource: Resource) -> Iterator[Node]:
    for pods in pods_of(resource):
        for container in pods.containers:
            yield container.at("image")
            uri = container.at("storageUri")
            if OCI.match(uri.text):
                yield uri
        yield from (volume.at("image", "reference") for volume in pods.spec.at("volumes").each())


def signed(resource: Resource, facts: Facts) -> Iterator[Finding]:
    """Find images of models in production that are served whoever pushed them."""
    if resource.type != MODEL_IMAGE or not facts.prod:
        return
    keys = resource.at("publicKeys")
    if keys.absent or keys.value == []:
        remedy = "list the keys that count in modelstack:registry.publicKeys (docs/supply-chain.md)"
        yield Finding(keys.path, "names no key, so that nobody looks at the image's signature", remedy)


def gated(resource: Resource, facts: Facts) -> Iterator[Finding]:
    """Find models in production that nothing measured."""
    if resource.type != MODEL_IMAGE or not facts.prod:
        return
    gates = resource.at("parsed", "gates")
    named = [key for key in OF_ANSWERS if not gates.at(key).absent]
    if not named:
        recipe = resource.at("recipe").text
        keys = "min_accuracy, min_cosine or min_agreement"
        yield Finding(
            "parsed.gates", f"{recipe} names no gate on answers", f"add {keys} to its gates (docs/recipes.md)"
        )


RULES = (
    Rule("image-by-digest", "Pods run images by digest, never by a tag that can move", "mandatory", by_digest),
    Rule("signed-image", "Models in prod come from images whose signature is verified", "mandatory", signed),
    Rule("gates-in-prod", "Recipes of models in prod have gates on what the model answers", "mandatory", gated),
)
