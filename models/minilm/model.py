"""MiniLM-L6 (arXiv:2002.10957): BERT's encoder (arXiv:1810.04805) in six layers of 384, which embeds sentences.

Modules bear the names that the published weights have. Sentence-BERT (arXiv:1908.10084) takes the mean over tokens.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

WORDS, POSITIONS, WIDTH, INNER, LAYERS, HEADS = 30522, 512, 384, 1536, 6, 12
EPSILON = 1e-12


class Embeddings(nn.Module):
    """Words, positions and one segment, summed."""

    def __init__(self) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(WORDS, WIDTH)
        self.position_embeddings = nn.Embedding(POSITIONS, WIDTH)
        self.token_type_embeddings = nn.Embedding(2, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, EPSILON)
        self.register_buffer("position_ids", torch.arange(POSITIONS)[None])

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids [n, tokens] → [n, tokens, 384]."""
        positions = self.position_embeddings.weight[: ids.shape[1]]
        found: Tensor = self.LayerNorm(self.word_embeddings(ids) + positions + self.token_type_embeddings.weight[0])
        return found


class Heads(nn.Module):
    """Scaled dot-product attention; tokens that `mask` [n, 1, 1, tokens] holds back are not attended to."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return what each head attends to, side by side, [n, tokens, 384]."""
        query, key, value = (_heads(layer(hidden)) for layer in (self.query, self.key, self.value))
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return found.transpose(1, 2).flatten(2)


def _heads(hidden: Tensor) -> Tensor:
    return hidden.unflatten(2, (HEADS, WIDTH // HEADS)).transpose(1, 2)


class Residual(nn.Module):
    """A linear layer, added to what came before it and normalized."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, EPSILON)

    def forward(self, hidden: Tensor, before: Tensor) -> Tensor:
        """Return the normalized sum, [n, tokens, 384]."""
        found: Tensor = self.LayerNorm(self.dense(hidden) + before)
        return found


class Layer(nn.Module):
    """Attention and a feed-forward network."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": Heads(), "output": Residual(WIDTH)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(WIDTH, INNER)})
        self.output = Residual(INNER)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return the next hidden states, [n, tokens, 384]."""
        attended = self.attention["output"](self.attention["self"](hidden, mask), hidden)
        inner = functional.gelu(self.intermediate["dense"](attended))
        found: Tensor = self.output(inner, attended)
        return found


class SentenceEncoder(nn.Module):
    """Token ids [n, tokens], 0 where a text has ended → one vector of length 1 a text, [n, 384]."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer() for _ in range(LAYERS))})
        self.pooler = nn.ModuleDict({"dense": nn.Linear(WIDTH, WIDTH)})  # in the weights, not in the answer

    def forward(self, ids: Tensor) -> Tensor:
        """Return the embeddings."""
        written = ids != 0
        mask = torch.where(written, 0.0, -1e4)[:, None, None]
        hidden = self.embeddings(ids)
        for layer in self.encoder["layer"]:
            hidden = layer(hidden, mask)
        share = written[:, :, None].to(hidden.dtype)
        mean = (hidden * share).sum(1) / share.sum(1).clamp(min=1)
        return functional.normalize(mean)


def build() -> nn.Module:
    """Return the encoder without its weights."""
    return SentenceEncoder()
