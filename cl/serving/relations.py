"""Answer bare texts with the relations in them: a tagger finds the spans, and the champion answers each pair."""

from __future__ import annotations

from typing import Any

from cl.serving.batching.batcher import NotReadyError
from cl.serving.traffic_split import RequestAnswer
from cl.serving.worker import ServingWorker


async def answer_relations(
    service: ServingWorker, texts: list[str], key: str | None
) -> tuple[dict[str, Any], RequestAnswer]:
    """Return the body of the response to bare texts, and the champion's answers behind it.

    Pairs without a relation are left out; the others come in the order of the text.

    Raises:
        NotReadyError: no champion or no tagger is loaded.
        PerennialError: as `RequestHandler.ask`.
    """
    assert service.tagger is not None
    if (champion := service.follower.roles.champion) is None:
        raise NotReadyError("no champion is loaded yet")
    tagger, pairs = await service.tagger.pairs(texts)
    schema = service.task.schema
    asked = [pair.inputs(text, schema) for text, own in zip(texts, pairs, strict=True) for pair in own]
    if asked:
        answered = await service.answering.ask(asked, key, tagger=tagger)
    else:
        answered = RequestAnswer(champion, "champion", [], 0.0, tagger=tagger)
    rows, predictions = iter(answered.answers), []
    for text, own in zip(texts, pairs, strict=True):
        answers = [(pair, next(rows)) for pair in own]
        predictions.append(
            {
                "relations": [
                    {
                        "id": answer.id,
                        "head": pair.head.described(text),
                        "tail": pair.tail.described(text),
                        "relation": answer.value,
                        "confidence": round(answer.confidence, 6),
                        "out_of_scope": answer.out_of_scope,
                    }
                    for pair, answer in sorted(answers, key=lambda entry: (entry[0].head.start, entry[0].tail.start))
                    if answer.value != service.task.no_answer
                ]
            }
        )
    content = {
        "model": service.config.name,
        "version": answered.loaded.version,
        "role": answered.role,
        "tagger": tagger,
        "predictions": predictions,
    }
    return content, answered
