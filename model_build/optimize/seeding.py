"""One seed and a fixed number of threads, so that a step gives the same bytes each time on one machine."""

import random

import numpy as np
import torch

from model_build.job import THREADS


def settle(seed: int) -> None:
    """Seed every generator and refuse operations that are not deterministic."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
