"""Deliver notices through a plain webhook."""

from __future__ import annotations

import os

import httpx

from cl.config import NotificationSettings
from cl.errors import ConfigError, StoreError
from cl.monitoring.notices import Notice

SECONDS = 10
"""Timeout. A cycle waits for its notice, so that notices arrive in order."""


def post(bounds: NotificationSettings, notice: Notice) -> None:
    """Send a notice to the webhook once.

    Raises:
        ConfigError: the environment variable of the webhook is not set.
        StoreError: the receiver could not be reached or refused the notice.
    """
    try:
        response = httpx.post(webhook_url(bounds), json=notice.model_dump(mode="json"), timeout=SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StoreError(f"triggers.notify.webhook could not be reached: {type(error).__name__}") from None
    if response.is_error:
        raise StoreError(f"triggers.notify.webhook answered {response.status_code}")


def webhook_url(bounds: NotificationSettings) -> str:
    """Return the webhook's URL from the environment.

    Raises:
        ConfigError: the variable is not set.
    """
    name = (bounds.webhook or "").removeprefix("env:")
    if not os.environ.get(name):
        raise ConfigError(f"triggers.notify.webhook: the environment variable {name} is not set")
    return os.environ[name]
