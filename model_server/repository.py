"""The models' folder: `<name>/model.json`, or `<name>/<version>/model.json` where a model has several versions."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model_server.contract import CONTRACT_FILE, ModelContract, load
from model_server.errors import ConfigError, shown

DEFAULT_FILE = "default-version"
MAX_VERSION_BYTES = 200


@dataclass(frozen=True, slots=True)
class Repository:
    """Every version of every model, sorted, and the version that answers where a request names none."""

    contracts: tuple[ModelContract, ...]
    defaults: dict[str, str]


def discover(root: Path) -> Repository:
    """Return the models below `root`; raises ConfigError where there is none or two share name and version."""
    if not root.is_dir():
        raise ConfigError(f"MODELSTACK_MODELS: {root} is not a folder; mount the models there or name their folder")
    try:
        folders = sorted(_with_contracts(root))
    except OSError as error:
        raise ConfigError(f"MODELSTACK_MODELS: {root} cannot be listed ({error.strerror}); make it readable") from error
    if not folders:
        raise ConfigError(f"MODELSTACK_MODELS: {root} has no folder with a {CONTRACT_FILE}; put at least one there")
    found: dict[tuple[str, str], ModelContract] = {}
    for folder in folders:
        contract = load(folder)
        twin = found.setdefault((contract.name, contract.version), contract)
        if twin is not contract:
            raise ConfigError(
                f"{folder / CONTRACT_FILE}: name: {contract.name!r}, version {contract.version!r}, is also that of "
                f"{twin.folder}; remove one of the two"
            )
    contracts = tuple(found[key] for key in sorted(found))
    return Repository(contracts, {one.name: _default(root, contracts, one.name) for one in contracts})


def _with_contracts(root: Path) -> Iterator[Path]:
    for folder in root.iterdir():
        if folder.name.startswith("."):
            continue
        if _holds_a_contract(folder):
            yield folder
        elif folder.is_dir():
            yield from (one for one in folder.iterdir() if not one.name.startswith(".") and _holds_a_contract(one))


def _holds_a_contract(folder: Path) -> bool:
    path = folder / CONTRACT_FILE
    return path.is_file() or path.is_symlink()


def _default(root: Path, contracts: tuple[ModelContract, ...], name: str) -> str:
    versions = [one.version for one in contracts if one.name == name]
    path = root / name / DEFAULT_FILE
    if path.is_file():
        with path.open("rb") as file:
            said = file.read(MAX_VERSION_BYTES).decode(errors="replace").strip()
        if said not in versions:
            raise ConfigError(f"{path}: {shown(said)} is none of {', '.join(versions)}; write one of these")
        return said
    if len(versions) == 1:
        return versions[0]
    if all(one.isascii() and one.isdigit() for one in versions):
        return max(versions, key=int)
    raise ConfigError(
        f"{path}: is missing; {name!r} has the versions {', '.join(versions)}, which have no order; write one into it"
    )
