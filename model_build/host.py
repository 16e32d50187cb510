"""Which instructions this machine has that decide how fast int8 is; told beside every latency."""

import platform
import re
from pathlib import Path

# What the kernel calls it → what people call it.
KNOWN = {
    "avx2": "avx2",
    "avx512f": "avx512",
    "avx512_vnni": "avx512-vnni",
    "avx_vnni": "avx-vnni",
    "amx_int8": "amx-int8",
    "asimd": "neon",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
}


def instruction_sets(cpuinfo: str | None = None) -> list[str]:
    """Return the machine's architecture and those of its instruction sets that int8 depends on."""
    text = Path("/proc/cpuinfo").read_text() if cpuinfo is None else cpuinfo
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    flags = set(found.group(1).split()) if found else set()
    return [platform.machine(), *(name for flag, name in KNOWN.items() if flag in flags)]
