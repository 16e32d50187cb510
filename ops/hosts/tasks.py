"""Plays and tasks as plain values, in the order in which Ansible's own style has their keys."""

from __future__ import annotations

from typing import Any

Values = dict[str, Any]
PRIVATE, READABLE = "0600", "0644"


def play(name: str, group: str, tasks: list[Values], handlers: list[Values] | None = None, **told: Any) -> Values:
    """Return a play of a group, as root."""
    # What was notified is done though a later task fails: the next run would find no change, and notify nobody.
    forced = True if handlers else None
    found = {"name": name, "hosts": group, "become": True, "force_handlers": forced, **told}
    return {key: one for key, one in {**found, "tasks": tasks, "handlers": handlers}.items() if one is not None}


def task(name: str, module: str, told: Any) -> Values:
    """Return a task of one of ansible-core's modules."""
    return {"name": name, f"ansible.builtin.{module}": told}


def command(name: str, argv: list[str], *, creates: str) -> Values:
    """Return a command that is run where a file is not there."""
    return task(name, "command", {"argv": argv, "creates": creates})


def copied(name: str, source: str, target: str, notify: str | None = None, mode: str = READABLE) -> Values:
    """Return what copies one of the rendered files."""
    told = task(name, "copy", {"src": source, "dest": target, "mode": mode})
    return told | ({"notify": notify} if notify else {})


def written(name: str, target: str, content: str) -> Values:
    """Return what writes a short text, for everyone to read."""
    return task(name, "copy", {"content": content, "dest": target, "mode": READABLE})


def repository(whose: str, address: str, key: str, suite: str = "/", components: list[str] | None = None) -> Values:
    """Return what names a repository of packages and its key."""
    told: Values = {"name": whose.lower(), "uris": address, "suites": suite, "signed_by": key}
    further = {"components": components} if components else {}
    return task(f"Name the packages of {whose}", "deb822_repository", told | further)


def installed(name: str, pinned: dict[str, str]) -> list[Values]:
    """Return what installs packages in exactly these versions, whatever a distribution adds to their names."""
    # Nodes are at these versions by now; a host that failed before it was one may hold others.
    freely = {"allow_change_held_packages": True, "allow_downgrade": True}
    wanted = [f"{package}={version}-*" for package, version in pinned.items()]
    held = {"name": "{{ item }}", "selection": "hold"}
    return [
        task(name, "apt", {"name": wanted, "update_cache": True, **freely}),
        task("Hold them at these versions", "dpkg_selections", held) | {"loop": list(pinned)},
    ]
