"""Starts the planner."""

import sys

from pulumi.runtime.proto import provider_pb2_grpc

from local.plugins.aws.provider import AwsPlanner
from local.plugins.serving import Engine, engine_address, serve, stop_event


def main() -> None:
    """Serve until the engine ends or asks to."""
    planner = AwsPlanner(Engine(engine_address(sys.argv[1:])))
    serve(
        lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(planner, server),
        stop_event(),
        lambda: None,
    )


if __name__ == "__main__":
    main()
