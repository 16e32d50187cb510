"""What the embedded platform refuses to do, and the exit code that says so."""

EXIT_REFUSED = 3
EXIT_UNHEALTHY = 4


class PlatformError(Exception):
    """A failure that one line explains; `code` is the exit code of the command."""

    code = 1


class RefusedError(PlatformError):
    """This machine cannot run the embedded platform; the message says why and what to do instead."""

    code = EXIT_REFUSED


class UnhealthyError(PlatformError):
    """A part of the platform did not become healthy."""

    code = EXIT_UNHEALTHY


class LockedError(PlatformError):
    """Another command works on the same instance."""
