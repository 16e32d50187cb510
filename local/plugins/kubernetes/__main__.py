"""Starts the provider."""

import sys

from pulumi.runtime.proto import provider_pb2_grpc

from local.plugins.kubernetes.provider import KubernetesProvider
from local.plugins.serving import Engine, engine_address, serve, stop_event


def main() -> None:
    """Serve until the engine ends or asks to."""
    stop = stop_event()
    provider = KubernetesProvider(Engine(engine_address(sys.argv[1:])))
    serve(
        lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server),
        stop,
        provider.stop,
    )


if __name__ == "__main__":
    main()
