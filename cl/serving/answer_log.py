"""The log of answers and later labels, as the server calls it; without one it answers all the same."""

from __future__ import annotations

from typing import Any, Protocol


class AnswerLog(Protocol):
    """Where each answer and each label that comes later goes."""

    def record(self, entries: list[dict[str, Any]]) -> None:
        """Take answers over, without ever waiting.

        An entry has: ``id`` (a uuid as text), ``at`` (seconds since 1970), ``version``, ``role`` (champion, canary or
        shadow), ``text`` or ``tokens``, ``label`` (a label, or the list of tags), ``confidence``, ``out_of_scope``
        (None: the version cannot say), ``latency_ms`` and ``key`` (the request's key; None: none was given). The id of
        a shadow's entry is the uuid5 of ``shadow`` in the answer's id.
        """

    async def feedback(self, prediction_id: str, label: str | list[str]) -> None:
        """Return when the right label of an answer is on the disk.

        Raises:
            StoreError: it is not, and may be told again.
        """

    def close(self) -> None:
        """Write what is left."""
