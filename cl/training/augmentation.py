"""Change the texts of training rows at random, so that few rows teach more: words left out, mistyped or replaced.

Each epoch draws which rows are changed and how; a changed row keeps its label. Leaving words out follows Wei and Zou
(2019, "EDA", section 2), replacing them Kobayashi (2018, "Contextual augmentation", section 2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import AutoModelForMaskedLM

from cl.config import AugmentSettings
from cl.errors import ConfigError
from cl.models.learner import Learner
from cl.models.locate import locate_model
from cl.models.pretrained import explain, load_tokenizer, without_warnings
from cl.models.typing_errors import add_typing_errors
from cl.tasks import Encoded

LIKELIEST = 10
"""Words from which a replacement is drawn, by their probabilities."""
TEXTS_AT_ONCE = 32
Change = Callable[[list[str], np.random.Generator], list[str]]


class Augmentation:
    """Changes a share of the texts of an epoch; the changes that are configured take equal parts of them."""

    def __init__(self, settings: AugmentSettings, learner: Learner) -> None:
        self._settings, self._learner = settings, learner
        self._changes: list[Change] = []
        if settings.word_dropout:
            self._changes.append(self._drop_words)
        if settings.typing_errors:
            self._changes.append(self._mistype)
        if settings.replaced_words and settings.masked_model:
            self._changes.append(MaskedModel(settings.masked_model, settings.replaced_words).replace)

    def encode(self, rows: pd.DataFrame, encoded: list[Encoded], rng: np.random.Generator) -> list[Encoded]:
        """Return the tokens of an epoch's rows, with those of the changed ones.

        Args:
            rows: of the epoch.
            encoded: their tokens, unchanged.
            rng: decides what is changed, and how.
        """
        column = self._learner.task.schema.input_names[0]
        how = np.where(
            rng.random(len(rows)) < self._settings.share, rng.integers(len(self._changes), size=len(rows)), -1
        )
        encoded = list(encoded)
        for number, change in enumerate(self._changes):
            chosen = np.flatnonzero(how == number)
            if len(chosen):
                changed = rows.iloc[chosen]
                tokens = self._learner.encode(changed.assign(**{column: change(changed[column].tolist(), rng)}))
                for index, own in zip(chosen.tolist(), tokens, strict=True):
                    encoded[index] = own
        return encoded

    def _drop_words(self, texts: list[str], rng: np.random.Generator) -> list[str]:
        return [drop_words(text, rng, share=self._settings.word_dropout) for text in texts]

    def _mistype(self, texts: list[str], rng: np.random.Generator) -> list[str]:
        return [add_typing_errors(text, rng, share=self._settings.typing_errors) for text in texts]


def drop_words(text: str, rng: np.random.Generator, *, share: float) -> str:
    """Return a text without a share of its words, drawn one by one; one word at least stays."""
    words = text.split()
    kept = [word for word, draw in zip(words, rng.random(len(words)), strict=True) if draw >= share]
    return " ".join(kept or words[:1])


class MaskedModel:
    """A masked language model, which replaces words by others that fit their place."""

    def __init__(self, name: str, share: float) -> None:
        """Load the model.

        Raises:
            ConfigError: it cannot be loaded, or fills no masks.
        """
        self._share = share
        try:
            with without_warnings():
                model, report = AutoModelForMaskedLM.from_pretrained(
                    locate_model(name), use_safetensors=True, output_loading_info=True
                )
            self._tokenizer: Any = load_tokenizer(name)
        except (ConfigError, MemoryError):
            raise
        except Exception as error:  # a checkpoint may be damaged in many ways
            raise ConfigError(
                f"training.augment.masked_model '{name}' cannot be loaded: {explain(name, error)}"
            ) from None
        if report["missing_keys"] or self._tokenizer.mask_token is None:
            raise ConfigError(
                f"training.augment.masked_model '{name}' was not trained to fill masks; name a masked language model "
                "such as distilbert-base-uncased"
            )
        self._model = model.eval()
        special = torch.zeros(len(self._tokenizer), dtype=torch.bool)
        special[list(self._tokenizer.all_special_ids)] = True
        self._excluded = special | torch.tensor(
            [token.startswith("##") for token in self._tokenizer.convert_ids_to_tokens(list(range(len(special))))]
        )

    def replace(self, texts: list[str], rng: np.random.Generator) -> list[str]:
        """Return texts with a share of their words replaced, at least one of each; a text without words stays."""
        replaced: list[str] = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            replaced += self._replace_some(texts[start : start + TEXTS_AT_ONCE], rng)
        return replaced

    @torch.inference_mode()
    def _replace_some(self, texts: list[str], rng: np.random.Generator) -> list[str]:
        words = [text.split() for text in texts]
        places = [self._draw(len(listed), rng) for listed in words]
        masked = [
            " ".join(self._tokenizer.mask_token if index in own else word for index, word in enumerate(listed))
            for listed, own in zip(words, places, strict=True)
        ]
        tokens = self._tokenizer(masked, padding=True, truncation=True, return_tensors="pt")
        logits = self._model(**tokens).logits[..., : len(self._excluded)].masked_fill(self._excluded, -torch.inf)
        for listed, own, ids, row in zip(words, places, tokens["input_ids"], logits, strict=True):
            masks = (ids == self._tokenizer.mask_token_id).nonzero().flatten().tolist()
            for index, mask in zip(sorted(own), masks, strict=False):  # a long text may have lost its last ones
                best = row[mask].topk(min(LIKELIEST, int((~self._excluded).sum())))
                shares = best.values.double().softmax(-1).numpy()
                listed[index] = self._tokenizer.decode([int(best.indices[rng.choice(len(shares), p=shares)])]).strip()
        return [" ".join(listed) for listed in words]

    def _draw(self, words: int, rng: np.random.Generator) -> set[int]:
        if not words:
            return set()
        chosen = np.flatnonzero(rng.random(words) < self._share).tolist()
        return set(chosen or [int(rng.integers(words))])
