"""Starts the language host."""

import sys

from pulumi.runtime.proto import language_pb2_grpc

from local.plugins.language.host import VERSION, LanguageHost
from local.plugins.serving import Engine, engine_address, serve, stop_event


def main() -> None:
    """Serve until the engine ends or asks to."""
    if {"-version", "--version"} & set(sys.argv[1:]):
        sys.stdout.write(f"{VERSION}\n")
        return
    stop = stop_event()
    host = LanguageHost(Engine(engine_address(sys.argv[1:])))
    serve(
        lambda server: language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server),
        stop,
        host.children.stop_all,
    )


if __name__ == "__main__":
    main()
