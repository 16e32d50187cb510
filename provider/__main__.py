"""Start the provider for the engine whose address is the first argument."""

from __future__ import annotations

import sys

from provider.server import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
