"""What everything of a stack in AWS bears."""

from __future__ import annotations

import pulumi

STACK_TAG = "modelstack.dev/stack"


def tags() -> dict[str, str]:
    """Return the tags by which the stack's resources, and what they cost, are found."""
    return {"modelstack.dev/project": pulumi.get_project(), STACK_TAG: pulumi.get_stack()}
