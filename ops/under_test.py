"""What a test of a stack's model needs: its image, where it is asked, samples, limits, and the key that signs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import settings
from model_build.oci.auth import is_loopback
from model_build.supply.keys import PrivateKey, private_key
from model_server.contract import GOLDEN_FILE
from ops import predict, samples
from ops.engine import Engine, own_settings
from ops.functional import Endpoint
from ops.model_images import ModelImage
from ops.predict import UsageError
from ops.samples import Array, Samples


class RefusedError(Exception):
    """Nothing can be said of the image; the message is one line and says what to do."""


@dataclass(frozen=True)
class Limits:
    """What one model is held to: the least by figure (`accuracy`, `cosine`), seconds of p99, share of errors."""

    least: Mapping[str, float]
    max_p99_seconds: float
    max_error_ratio: float


@dataclass(frozen=True)
class Subject:
    """One model under test: its image, its endpoint, held-out samples, golden set, and the key that signs."""

    image: ModelImage
    endpoint: Endpoint
    held_out: Samples
    golden: Mapping[str, Array] | None
    limits: Limits
    key: PrivateKey | None


def prepared(arguments: argparse.Namespace, engine: Engine, image: ModelImage) -> Subject:
    """Return what a test of one model needs; raises UsageError, RefusedError, SamplesError, BuildError, EngineError."""
    project, name = engine.project, image.model
    outputs = predict.outputs_of(project, arguments.stack)
    urls, files = predict.endpoints(outputs, arguments.stack), predict.held_out_files(arguments.held_out)
    if name not in urls:
        raise UsageError(f"{name}: stack {arguments.stack!r} has no endpoint of it; run `make up` again")
    own = image.recipe.get("runtime", {}).get("name", settings.OWN_SERVER) == settings.OWN_SERVER
    version = str(image.inputs)[:12] if own else None
    return Subject(
        image=image,
        endpoint=Endpoint(urls[name], name, version, os.environ.get(predict.KEY)),
        held_out=samples.read(files[name])
        if name in files
        else samples.of_recipe(project, name, str(image.values.get("recipe"))),
        golden=_golden(project, image) if own else None,
        limits=_limits(arguments, project, image),
        key=None if arguments.dry_run else key_for(arguments.key, project, image),
    )


def _golden(project: Path, image: ModelImage) -> Mapping[str, Array]:
    content = image.repository(project).file(str(image.digest), f"models/{image.model}/{GOLDEN_FILE}")
    if content is None:
        raise RefusedError(
            f"{image.model}: {image.digest} holds no /models/{image.model}/{GOLDEN_FILE}; build it again"
        )
    return samples.arrays(content)


def _limits(arguments: argparse.Namespace, project: Path, image: ModelImage) -> Limits:
    gates = image.recipe.get("gates") or {}
    asked = {"accuracy": arguments.min_accuracy, "cosine": arguments.min_cosine}
    least = {figure: gates.get(f"min_{figure}") if value is None else value for figure, value in asked.items()}
    known = {figure: float(value) for figure, value in least.items() if value is not None}
    if not known:
        raise UsageError(f"{image.model}: its recipe has neither min_accuracy nor min_cosine; give --min-accuracy")
    if arguments.max_p99 is not None and arguments.max_error_ratio is not None:
        return Limits(known, arguments.max_p99, arguments.max_error_ratio)
    rollout = _rollout(project, arguments.stack, image.model)
    p99, errors = arguments.max_p99, arguments.max_error_ratio
    return Limits(
        known,
        rollout.max_p99_seconds if p99 is None else p99,
        rollout.max_error_ratio if errors is None else errors,
    )


def _rollout(project: Path, stack: str, model: str) -> settings.RolloutSettings:
    try:
        return settings.load(own_settings(project, stack), project, stack).models[model].rollout
    except (settings.SettingsError, KeyError) as error:
        raise UsageError(
            f"{model}: rollout.maxP99Seconds cannot be read ({error}); give --max-p99 and --max-error-ratio"
        ) from error


def key_for(named: str | None, project: Path, image: ModelImage) -> PrivateKey | None:
    """Return the key that signs a record, `named` or the stack's own; None where loopback asks for none.

    Raises RefusedError, ProviderError, SignatureError.
    """
    trust = image.trust(project, named)
    if not trust.required and not is_loopback(image.repository(project).host):
        raise RefusedError(
            f"{image.model}: registry.publicKeys is not set, and a record that nobody signed counts for nothing on "
            f"{image.repository(project).host}; set publicKeys and signingKey, or use --dry-run"
        )
    reference = trust.signing_key()
    return None if reference is None else private_key(reference)
