"""Takes down what has expired, one stack after the other; what is not surely a review stack of this place stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ops.engine import Engine, resources
from ops.review import names
from ops.review.about import Listed, last_result, listed
from ops.review.guard import ClusterOf, RefusedError, cluster_of, require_own
from ops.review.mark import mark_of
from ops.review.remove import FAILURES, HeldError, Say, drop, refuse_held, remove
from ops.review.workplace import Workplace

REAPED, EXPIRED, KEPT, HELD, REFUSED, FAILED = "reaped", "expired", "kept", "held", "refused", "failed"


@dataclass(frozen=True)
class Outcome:
    """What became of one review stack, and why."""

    stack: str
    action: str
    """`reaped`; `expired` where it would be; `kept`, `held`, `refused` or `failed`."""
    why: str


def reap(
    place: Workplace, now: datetime, say: Say, *, dry_run: bool, cluster: ClusterOf = cluster_of
) -> Iterator[Outcome]:
    """Yield what becomes of each review stack of the project; raises EngineError where they cannot be listed."""
    backend = place.aside("").backend()
    for one in listed(place.aside("")):
        try:
            if one.in_progress:
                raise HeldError(f"stack {one.name}: is worked on; let that end, then run this again")
            refuse_held(place.aside(one.name), backend)
            yield _reap_one(place, one, now, say, dry_run=dry_run, cluster=cluster)
        except HeldError as error:
            yield Outcome(one.name, HELD, str(error))
        except RefusedError as error:
            yield Outcome(one.name, REFUSED, str(error))
        except FAILURES as error:
            yield Outcome(one.name, FAILED, str(error))


def _reap_one(place: Workplace, one: Listed, now: datetime, say: Say, *, dry_run: bool, cluster: ClusterOf) -> Outcome:
    engine: Engine = place.aside(one.name)
    state = engine.export()
    if not resources(state) and last_result(engine):
        # Emptied by a destroy that did not come to its end, or by hand.
        if not dry_run:
            drop(engine)
        return Outcome(one.name, EXPIRED if dry_run else REAPED, "has no resources")
    mark = mark_of(state)
    if mark is not None and now < names.read(mark.expires):
        return Outcome(one.name, KEPT, f"until {mark.expires}")
    mark = require_own(state, one.name, place.name, cluster)
    why = f"of {mark.owner}, expired {mark.expires}"
    if dry_run:
        return Outcome(one.name, EXPIRED, why)
    remove(place, one.name, say)
    return Outcome(one.name, REAPED, why)
