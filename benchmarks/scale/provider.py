"""A provider that takes whatever it is given and does nothing, as the engine runs it from a folder of its own."""

from __future__ import annotations

SOURCE = """
import sys
from pulumi.provider.experimental import provider as base, server


class Nothing(base.Provider):
    async def check(self, request):
        return base.CheckResponse(inputs=request.new_inputs)

    async def diff(self, request):
        return base.DiffResponse(changes=request.old_inputs != request.new_inputs)

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


def source(name: str, version: str, *, previews: bool) -> str:
    """Return the program of such a provider; one that `previews` tells what a preview creates."""
    return SOURCE % {"name": name, "version": version, "previews": previews}
