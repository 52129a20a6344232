"""The bases of language models in memory, one for all versions that refer to it."""

from __future__ import annotations

import copy
from pathlib import Path
from weakref import WeakValueDictionary

from transformers import PreTrainedModel

from cl.models.base_files import LanguageBase
from cl.models.language_base import restore_base
from cl.models.learner import Learner
from cl.models.low_rank import LowRankUpdate, share, split_off

_Key = tuple[str, tuple[int, ...] | None, str]
"""The digest of a base, the layers of it that are used, and the format of its weights."""


class SharedBases:
    """The bases that served versions refer to, as long as a version of each is in memory.

    Versions are loaded in one thread.
    """

    def __init__(self) -> None:
        self._models: WeakValueDictionary[_Key, PreTrainedModel] = WeakValueDictionary()

    def restore(self, base: LanguageBase, version: Path, dtype: str) -> PreTrainedModel:
        """Return a model of its own with the weights of a base, which lie in memory once; see `restore_base`."""
        shared = self._models.get((base.digest, base.layers, dtype))
        if shared is None:
            return restore_base(base, version, dtype)
        weights = [*shared.parameters(), *shared.buffers()]
        return copy.deepcopy(shared, {id(weight): weight for weight in weights})

    def share(self, learner: Learner) -> tuple[PreTrainedModel, LowRankUpdate | None]:
        """Return the model that answers for a version, and what the version adds to it; its learner's model is used up.

        A version that is more than LoRA keeps a model of its own, and adds nothing.
        """
        update = split_off(learner.encoder)
        if update is None or learner.base is None:
            return learner.encoder, None
        key = (learner.base.digest, learner.base.layers, "float32" if learner.settings.dtype == "float32" else "auto")
        model = self._models.get(key)
        if model is None:
            model = self._models[key] = share(learner.encoder)
        return model, update
