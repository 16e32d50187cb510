"""Waiting for an object to become ready, or to be gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from local.plugins.kubernetes import naming, objects, ready
from local.plugins.kubernetes.client import ApiError, Client, NoKind, Object, Unreachable

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0
TRANSIENT = frozenset({429, 500, 502, 503, 504})
# Kinds whose deletion skipAwait shortens too, as in the official provider.
UNWAITED = frozenset(["Namespace", "Pod", "ReplicationController", "DaemonSet", "Deployment", "StatefulSet", "Job"])
Report = Callable[[str], None]


class NotReady(Exception):  # noqa: N818
    """An object exists but is not what was waited for."""

    def __init__(self, message: str, live: Object, reasons: list[str]) -> None:
        super().__init__(message)
        self.live = live
        self.reasons = reasons


class Waiter:
    """Polls objects until they are ready or gone; ends early when the operation is cancelled."""

    def __init__(self, client: Client, cancelled: threading.Event, report: Report) -> None:
        self._client = client
        self._cancelled = cancelled
        self._report = report

    def _read(self, live: Object) -> Object | None:
        """Return the object anew, the old one where the API server is briefly away, None where it is gone."""
        metadata = live["metadata"]
        kind = (live["apiVersion"], live["kind"])
        try:
            return self._client.get(*kind, metadata.get("namespace", ""), metadata["name"])
        except Unreachable:
            return live
        except NoKind:
            return None
        except ApiError as error:
            if error.gone:
                return None
            if error.code in TRANSIENT:
                return live
            raise

    def _progress(self, check: ready.Check, live: Object) -> ready.Progress:
        try:
            return check(self._client, live)
        except (Unreachable, ApiError) as error:
            return ready.Progress(False, [str(error)])

    def until_ready(self, live: Object, inputs: Mapping[str, Any], seconds: float) -> Object:
        """Return the object once it is ready; raise NotReady after so many seconds."""
        check = ready.check_for(inputs)
        if check is None:
            return live
        name, pause = live["metadata"]["name"], FIRST_PAUSE_SECONDS
        end, shown, changed = time.monotonic() + seconds, [""], time.monotonic()
        while True:
            progress = self._progress(check, live)
            if progress.reasons != shown:
                shown, changed = progress.reasons, time.monotonic()
                self._report("; ".join(shown))
            if progress.ready and time.monotonic() - changed >= progress.settle:
                self._report("")
                return live
            if progress.failed:
                raise NotReady(f"Resource '{name}' was created but failed to initialize", live, shown)
            if time.monotonic() >= end:
                raise NotReady(f"'{name}' timed out waiting to be Ready", live, shown)
            if self._cancelled.wait(pause):
                raise NotReady(f"Resource operation was cancelled for {name!r}", live, shown)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
            found = self._read(live)
            if found is None:
                raise NotReady(f"{name!r} was deleted while it was waited for", live, shown)
            live = found

    def check_once(self, live: Object, inputs: Mapping[str, Any]) -> None:
        """Raise NotReady where the object is not ready now."""
        check = ready.check_for(inputs)
        progress = self._progress(check, live) if check else ready.READY
        if not progress.ready:
            message = f"Resource '{live['metadata']['name']}' was created but failed to initialize"
            raise NotReady(message, live, progress.reasons)

    def until_gone(self, live: Object, inputs: Mapping[str, Any], seconds: float) -> None:
        """Delete an object and return once it is gone; one that is gone already is fine."""
        try:
            objects.delete(self._client, live, inputs)
        except NoKind:
            return
        except ApiError as error:
            if error.gone:
                return
            raise
        if naming.annotation(inputs, naming.SKIP_AWAIT) == "true" and live["kind"] in UNWAITED:
            return
        uid, pause, end = live["metadata"].get("uid"), FIRST_PAUSE_SECONDS, time.monotonic() + seconds
        while (found := self._read(live)) is not None and found["metadata"].get("uid", uid) == uid:
            live, kept = found, found["metadata"].get("finalizers") or []
            if time.monotonic() >= end:
                message = f"'{live['metadata']['name']}' timed out waiting to be deleted"
                raise NotReady(message, live, [f"finalizers left: {', '.join(kept)}"] if kept else [])
            if self._cancelled.wait(pause):
                raise NotReady(f"Resource operation was cancelled for {live['metadata']['name']!r}", live, [])
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
        self._report("")
