"""Errors a user sees: one line that names what, value, limit and remedy."""

from __future__ import annotations


class ProviderError(Exception):
    """An operation that cannot be done; the message is the one line shown for the resource."""


class CancelledError(ProviderError):
    """The engine asked to stop."""
