import platform

import pytest

from model_build.host import instruction_sets


@pytest.mark.parametrize(
    ("cpuinfo", "named"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx avx2 fma\n", ["avx2"]),
        ("flags\t\t: avx2 avx512f avx512_vnni amx_int8\n", ["avx2", "avx512", "avx512-vnni", "amx-int8"]),
        ("Features\t: fp asimd asimddp i8mm\n", ["neon", "dotprod", "i8mm"]),
        ("", []),
    ],
)
def test_instruction_sets_are_named_as_people_know_them(cpuinfo: str, named: list[str]) -> None:
    assert instruction_sets(cpuinfo) == [platform.machine(), *named]


def test_this_machine_is_read() -> None:
    assert instruction_sets()[0] == platform.machine()
