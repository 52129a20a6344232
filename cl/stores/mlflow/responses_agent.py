"""The script that stock MLflow runs to load a version that converses: an agent from code, without pickle."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import ResponsesAgent
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentResponse, ResponsesAgentStreamEvent
from mlflow.utils.file_utils import local_file_uri_to_path

SYSTEM = ("system", "developer")
"""Roles of what a conversation begins with."""


class ConversingModel(ResponsesAgent):
    """Writes the assistant's next turn of a conversation, greedily: as `cl predict` does."""

    def load_context(self, context: Any) -> None:
        """Load the learner's folder, an artifact of the version, after checking its digests."""
        import cl

        self.version = cl.load_version(Path(local_file_uri_to_path(context.artifacts["learner"])))

    def predict(  # type: ignore[override]  # MLflow's own base class breaks the signature of its base
        self, request: ResponsesAgentRequest
    ) -> ResponsesAgentResponse:
        """Return the next turn, and its confidence, 0 to 1, in ``custom_outputs``.

        Raises:
            MlflowException: the input is no conversation that ends with a turn of the user.
        """
        (answer,) = self.version.predict([self._turns(request)]).to_dict("records")
        if answer.get("error"):
            raise MlflowException(answer["error"], error_code=INVALID_PARAMETER_VALUE)
        item = self.create_text_output_item(answer["completion"], _new_id())
        return ResponsesAgentResponse(output=[item], custom_outputs={"confidence": answer["confidence"]})

    def predict_stream(  # type: ignore[override]
        self, request: ResponsesAgentRequest
    ) -> Generator[ResponsesAgentStreamEvent, None, None]:
        """Yield the next turn piece by piece, and at the end the whole of it.

        Raises:
            MlflowException: as for `predict`.
        """
        from cl.errors import InputError

        id, pieces = _new_id(), list[str]()
        try:
            for piece in self.version.stream(self._turns(request)):
                pieces.append(piece)
                yield ResponsesAgentStreamEvent(**self.create_text_delta(piece, id))
        except InputError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None
        item = self.create_text_output_item("".join(pieces), id)
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)

    def _turns(self, request: ResponsesAgentRequest) -> list[dict[str, str]]:
        """Return the conversation of a request; what is no turn with a text, such as a tool's output, is refused."""
        return [_turn(item if isinstance(item, dict) else item.model_dump()) for item in request.input]


def _turn(item: dict[str, Any]) -> dict[str, str]:
    content = item.get("content")
    if item.get("role") is None or content is None:
        kind = item.get("type", "one without role or content")
        raise MlflowException(
            f"an item of the input is no turn but '{kind}': send turns with role and content",
            error_code=INVALID_PARAMETER_VALUE,
        )
    parts = [{"text": content}] if isinstance(content, str) else content
    if any(not isinstance(part, dict) or not isinstance(part.get("text"), str) for part in parts):
        raise MlflowException("a turn holds something else than text", error_code=INVALID_PARAMETER_VALUE)
    role = "system" if item["role"] in SYSTEM else item["role"]
    return {"role": role, "content": "".join(part["text"] for part in parts)}


def _new_id() -> str:
    return f"msg_{uuid.uuid4().hex}"


set_model(ConversingModel())
