"""Text to token ids, the same way where a model is built and where it answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from model_server.errors import ConfigError


class Tokens:
    """A tokenizer.json of Hugging Face's tokenizers; a text keeps `most` tokens, what follows them is cut."""

    def __init__(self, file: Path, most: int) -> None:
        """Read `file`; raises ConfigError."""
        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises Exception itself
            raise ConfigError(
                f"{file}: is no tokenizer ({error}); take the tokenizer.json the model was trained with"
            ) from error
        self._tokenizer.enable_truncation(most)
        # The model takes 0 for padding; only texts of one batch are padded to one length.
        self._tokenizer.enable_padding(pad_id=0)

    def encode(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return ids [texts, longest], 0 where a text has ended."""
        found = self._tokenizer.encode_batch_fast(list(texts))
        return np.array([one.ids for one in found], np.int64)
