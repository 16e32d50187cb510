"""What everything of a stack in AWS bears."""

from __future__ import annotations

import pulumi


def tags() -> dict[str, str]:
    """Return the tags by which the stack's resources, and what they cost, are found."""
    return {"modelstack.dev/project": pulumi.get_project(), "modelstack.dev/stack": pulumi.get_stack()}
