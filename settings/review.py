"""What a stack of a pull request is known by; `ops review up` writes it, nobody else has to."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from settings.base import Frozen, Word

Time = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")]


class ReviewSettings(Frozen):
    """The mark of a review stack, kept in its output `review` and in annotations of its namespace."""

    pull_request: int = Field(ge=1, le=9_999_999_999)
    owner: Word
    created: Time
    expires: Time
    project: Word
    namespace: Word
    cluster: Word
    registry: Word
    source: Word

    @property
    def told(self) -> dict[str, Any]:
        """What the stack's output `review` holds."""
        return self.model_dump(by_alias=True)

    @property
    def annotations(self) -> dict[str, str]:
        """What the stack's namespace carries for people who look at the cluster."""
        told = {"pull-request": str(self.pull_request), "owner": self.owner, "expires": self.expires}
        return {f"modelstack.dev/review-{key}": value for key, value in told.items()}
