"""A provider that takes whatever it is given and does nothing, as the engine runs it from a folder of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

SOURCE = """
import sys
from pulumi.provider.experimental import provider as base, server


class Nothing(base.Provider):
    async def check(self, request):
        return base.CheckResponse(inputs=request.new_inputs)

    async def diff(self, request):
        return base.DiffResponse(changes=request.old_state != request.new_inputs)

    async def create(self, request):
        return base.CreateResponse(resource_id="it", properties=request.properties)

    async def delete(self, request):
        return None

    async def configure(self, request):
        return base.ConfigureResponse(accept_secrets=True, supports_preview=%(previews)r)

    async def get_schema(self, request):
        return base.GetSchemaResponse(schema='{"name": "%(name)s", "version": "%(version)s"}')


server.main(sys.argv[1:], "%(version)s", Nothing())
"""


def write(folder: Path, name: str, version: str, *, previews: bool) -> None:
    """Write such a provider into a folder, run by this interpreter; one that `previews` tells what would be created."""
    folder.mkdir(parents=True)
    runtime = {"name": "python", "options": {"virtualenv": sys.prefix}}
    (folder / "PulumiPlugin.yaml").write_text(yaml.safe_dump({"runtime": runtime}), encoding="utf-8")
    told = {"name": name, "version": version, "previews": previews}
    (folder / "__main__.py").write_text(SOURCE % told, encoding="utf-8")
