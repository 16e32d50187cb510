"""Which of several workers this one is: what engines that train beyond one machine tell each by its environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from model_build.errors import EnvironmentFault

# As torch.distributed reads them; the process that trains is told no more of its surroundings.
VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
DEVICE = "MODELSTACK_DEVICE"


@dataclass(frozen=True)
class Rank:
    """One of `size` workers that train the same model together; the first, 0, goes on alone once it is trained."""

    number: int = 0
    size: int = 1

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """Whether gates, image and push are this one's."""
        return self.number == 0


def rank_of(environment: Mapping[str, str]) -> Rank:
    """Return which worker this is; the only one where nothing says otherwise. Raises EnvironmentFault."""
    told = {name: environment.get(name, "") for name in VARIABLES}
    if told["WORLD_SIZE"] in ("", "1"):
        return Rank()
    missing = [name for name, value in told.items() if not value]
    numbers = [told[name] for name in ("RANK", "WORLD_SIZE", "MASTER_PORT")]
    if missing or not all(one.isdigit() for one in numbers) or int(told["RANK"]) >= int(told["WORLD_SIZE"]):
        said = " ".join(f"{name}={value!r}" for name, value in told.items())
        raise EnvironmentFault(f"workers: {said} do not say which worker this is; set all four, or no WORLD_SIZE")
    return Rank(int(told["RANK"]), int(told["WORLD_SIZE"]))
