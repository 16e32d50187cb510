"""`python -m local up|status|logs|down|reset|env`: the embedded platform."""

import sys

OTHERWISE = "use any cluster: name its kubeconfig in the stack"


def main() -> int:
    """Run one command; returns its exit code."""
    if sys.platform != "linux":
        # Before anything else is imported: half of it exists on Linux alone.
        print(f"error: system: {sys.platform} is not linux; {OTHERWISE}", file=sys.stderr)
        return 3
    try:
        from local.cli import run  # noqa: PLC0415
    except ModuleNotFoundError as error:
        said = f"python: {sys.executable} has no {error.name}; run `.venv/bin/python -m local`, after `make venv`"
        print(f"error: {said}", file=sys.stderr)
        return 3
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
