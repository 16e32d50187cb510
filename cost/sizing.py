"""How much memory of GPUs a model takes, and the smallest instance of AWS that has it.

A GPU that shares a model's layers with `t - 1` others (tensor parallel) holds its part of three things; where the
layers are cut into stages (pipeline parallel), weights and cache are those of one stage:

- weights: parameters times bytes of a parameter, divided by t;
- the KV cache: of each token of each sequence a key and a value in every layer, 2 * layers * KV heads * head size *
  bytes (Kwon et al., Efficient Memory Management for Large Language Model Serving with PagedAttention, SOSP 2023,
  section 3: 2 * 5120 * 40 * 2 bytes, 800 KB, of a token of OPT-13B); a head is on one GPU, and on several where there
  are more GPUs than heads;
- activations of the one layer that is computed: tokens * hidden size * (10 + 24 / t) bytes in 16 bits (Korthikanti et
  al., Reducing Activation Recomputation in Large Transformer Models, MLSys 2023, equation 2, without the scores of
  attention, which kernels like FlashAttention do not keep). It is training's, of which inference keeps less.

Each is the most that it can be: windows of attention and compressed caches (MLA) take less.

Of a GPU's memory 0.9 is used: the rest is CUDA's, NCCL's and the graphs'. It is what vLLM takes by default
(`gpu_memory_utilization`, 0.9, in later versions 0.92: https://docs.vllm.ai/en/stable/api/vllm/config/cache/).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil

from cost.instances import INSTANCES, Instance
from cost.prices import InstancePrice

MIB, GIB = 2**20, 2**30
USED = 0.9
# What vLLM computes at once at most (`max_num_batched_tokens`), by default on the largest GPUs; on others it is 2048.
BATCHED_TOKENS = 8192
BYTES: Mapping[str, float] = {"fp32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "int8": 1, "int4": 0.5}
PARALLEL = (1, 2, 4, 8)
# What a GPU computes in from which compute capability on. With weights in fp8 vLLM runs on older ones too, and computes
# in 16 bits there (https://docs.vllm.ai/en/stable/features/quantization/fp8/), which is not what fp8 is asked for.
CAPABILITY: Mapping[str, float] = {"bf16": 8.0, "fp8": 8.9}


@dataclass(frozen=True)
class Shape:
    """A transformer's layers."""

    layers: int
    hidden: int
    kv_heads: int
    head_size: int
    heads: int | None = None
    """Which the GPUs that share the model must divide; None where they are not known."""

    @classmethod
    def of_parameters(cls, parameters: float, kv_heads: int | None = None) -> Shape:
        """Return the shape that a model of so many parameters about has; every head has keys and values of its own
        where nobody says in how many they are.

        12 * layers * hidden^2 parameters (Kaplan et al., Scaling Laws for Neural Language Models, 2020, section 2.1),
        hidden 128 times the layers, as in those of 7 to 70 billion.
        """
        layers = max(1, round((parameters / (12 * 128**2)) ** (1 / 3)))
        return cls(layers, 128 * layers, kv_heads or layers, 128)

    def kv_bytes(self, bytes_: float) -> float:
        """Return the bytes of one token in the KV cache."""
        return 2 * self.layers * self.kv_heads * self.head_size * bytes_


@dataclass(frozen=True)
class Demand:
    """A model and what it is asked at once."""

    size: float
    """Bytes of all weights."""
    dtype: str
    """Of weights, or of what is computed where they are stored otherwise."""
    batch: int = 1
    """Sequences, or samples."""
    context: int = 0
    """Tokens of a sequence, prompt and answer; 0 of a model that keeps none."""
    shape: Shape | None = None
    """None of a model that is no transformer."""
    sample: float = 0.0
    """Bytes of activations of one sample, of a model without a shape."""
    stages: int = 1
    """Into how many the layers are cut, each on GPUs of its own."""

    @property
    def kv_size(self) -> float:
        """Bytes of a number in the KV cache and of an activation: quantized weights leave them in 16 bits."""
        return max(2.0, BYTES[self.dtype])

    def weights(self, gpus: int = 1) -> float:
        """Return the bytes of weights on each of `gpus`."""
        return self.size / gpus / self.stages

    def cache(self, gpus: int = 1) -> float:
        """Return the bytes of the KV cache on each of `gpus`."""
        if self.shape is None:
            return 0.0
        share = ceil(self.shape.kv_heads / gpus) / self.shape.kv_heads
        share *= ceil(self.shape.layers / self.stages) / self.shape.layers
        return self.batch * self.context * self.shape.kv_bytes(self.kv_size) * share

    def activations(self, gpus: int = 1) -> float:
        """Return the bytes of activations on each of `gpus`."""
        if self.shape is None:
            return self.batch * self.sample
        tokens = min(self.batch * max(1, self.context), BATCHED_TOKENS)
        return tokens * self.shape.hidden * (10 + 24 / gpus) * self.kv_size / 2

    def each(self, gpus: int) -> float:
        """Return the bytes that each of `gpus` holds."""
        return self.weights(gpus) + self.cache(gpus) + self.activations(gpus)


@dataclass(frozen=True)
class Fit:
    """An instance on which a model fits."""

    instance: Instance
    gpus: int
    """How many of its GPUs share each layer; of every stage of the model as many."""
    bytes: float
    """On each of them."""
    hour: float | None = None
    """Its price an hour; None where it is not known."""


def fitting(demand: Demand, gpus: int | None, prices: Mapping[str, InstancePrice]) -> list[Fit]:
    """Return the instances that hold the model on `gpus`, or where that is None on as few as do; the best comes first.

    That is the cheapest of those with a price, and after them the smallest.
    """
    found = (one for instance in INSTANCES if (one := _fit(demand, instance, gpus, prices)))
    return sorted(found, key=lambda one: (one.hour is None, one.hour or 0.0, one.instance.size))


def _fit(demand: Demand, instance: Instance, gpus: int | None, prices: Mapping[str, InstancePrice]) -> Fit | None:
    if instance.family.capability < CAPABILITY.get(demand.dtype, 0):
        return None
    room = instance.family.memory * MIB * USED
    for shared in _shares(demand, instance, gpus):
        if demand.each(shared) <= room:
            price = prices.get(instance.name)
            return Fit(instance, shared, demand.each(shared), price.hour if price else None)
    return None


def _shares(demand: Demand, instance: Instance, gpus: int | None) -> Iterator[int]:
    """Yield by how many GPUs of an instance a model can be shared; they must divide its heads."""
    for one in PARALLEL if gpus is None else (gpus,):
        divides = demand.shape is not None and (demand.shape.heads or one) % one == 0
        if one * demand.stages <= instance.gpus and (one == 1 or divides):
            yield one
