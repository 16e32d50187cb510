"""The mark of a review stack: whose it is, until when, and where. It lies in the state, which every backend keeps.

It is there from before the first resource, so that a stack whose first `up` was killed is known for what it is; the
program then gives it anew as the output `review`, which renews it.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from pydantic import ValidationError

from ops.engine import State, resources
from ops.review import names
from settings import ReviewSettings

OUTPUT = "review"
ROOT = "pulumi:pulumi:Stack"


def mark_of(state: State) -> ReviewSettings | None:
    """Return the mark in a state; None where there is none that can be read."""
    try:
        found = ReviewSettings.model_validate_json(json.dumps(outputs(state).get(OUTPUT)))
        names.read(found.created), names.read(found.expires)
    except (ValidationError, ValueError):
        return None
    return found


def outputs(state: State) -> dict[str, Any]:
    """Return a stack's outputs; of secret ones no more than that they are."""
    root = next((one for one in resources(state) if one["type"] == ROOT), {})
    return dict(root.get("outputs") or {})


def marked(state: State, project: str, stack: str, mark: ReviewSettings) -> State:
    """Return the state of a stack without resources, with its mark."""
    done = copy.deepcopy(state)
    done["deployment"] = done.get("deployment") or {}
    urn = f"urn:pulumi:{stack}::{project}::{ROOT}::{project}-{stack}"
    resources(done).append({"urn": urn, "custom": False, "type": ROOT, "outputs": {OUTPUT: mark.told}})
    return done
