"""Site: the part of a cluster that is a stack's own, as every component of the stack is told of it."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from provider.cluster_resources import Access
from settings import ExposureSettings


@dataclass(frozen=True, kw_only=True)
class Site:
    """A stack's namespace, the way in for its clients, and how `up` reaches the cluster."""

    namespace: pulumi.Input[str]
    stack: str
    exposure: ExposureSettings
    access: Access
