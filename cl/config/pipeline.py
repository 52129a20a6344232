"""The version of another model that finds the spans of a bare text."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator

from cl.config.secrets import FROM_ENVIRONMENT
from cl.config.section import Section
from cl.config.stores import VARIABLE

TAGGER = re.compile(r"([A-Za-z0-9_-]{1,200})@([a-z][a-z_-]*|[1-9][0-9]*)")
TypeName = Annotated[str, Field(min_length=1, max_length=500)]


class PipelineSettings(Section):
    """The version that finds the spans of a bare text, so that each pair of them can be asked about."""

    tagger: str | None = Field(
        None,
        description="The model that finds head and tail, of token classification: `NAME@champion`, or `NAME@VERSION` "
        "to stay with a version; null: they come with each text",
    )
    tracking_uri: str | None = Field(
        None,
        description="MLflow registry of the tagger, such as `sqlite:///../people/mlflow/mlflow.db`; `env:NAME`: from "
        "the environment; null: that of this project",
    )
    most_pairs: int = Field(
        50,
        ge=1,
        le=10_000,
        description="Most ordered pairs of a text that are asked about: those closest to each other",
    )
    types: list[tuple[TypeName, TypeName]] = Field(
        [], description="Types of head and tail that can be related, such as [[PER, ORG], [PER, LOC]]; []: any two"
    )

    @field_validator("tagger")
    @classmethod
    def _tagger_has_a_version(cls, tagger: str | None) -> str | None:
        if tagger is not None and not TAGGER.fullmatch(tagger):
            raise ValueError(f"'{tagger[:80]}' names no version of a model; write NAME@champion or NAME@VERSION")
        return tagger

    @field_validator("tracking_uri")
    @classmethod
    def _variable_has_a_name(cls, uri: str | None) -> str | None:
        if uri is not None and uri.startswith(FROM_ENVIRONMENT) and not VARIABLE.fullmatch(uri):
            raise ValueError("env: takes the name of an environment variable, in letters, digits and underscores")
        return uri

    @property
    def tagger_parts(self) -> tuple[str, str] | None:
        """The tagger's model, and its alias or version; None: there is no tagger.

        >>> PipelineSettings(tagger="people@champion").tagger_parts
        ('people', 'champion')
        """
        model, _, wanted = (self.tagger or "").partition("@")
        return (model, wanted) if self.tagger else None
