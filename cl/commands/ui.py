"""`cl ui`: serve the page for the team."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from cl.errors import InputError


def serve_team_page(folder: Path, *, host: str, port: int, allowed_hosts: Sequence[str] = ()) -> None:
    """Serve the projects below a folder until interrupted.

    Args:
        folder: nothing outside it is read, but the stores that its projects name.
        host: the address to listen on.
        port: the port; 0 takes a free one.
        allowed_hosts: other names that the server may be called by.

    Raises:
        InputError: there is no such folder, an allowed host is none, the server cannot listen on the address, or beyond
            this machine there is no token.
    """
    from cl.config.serving import check_host
    from cl.serving.team.tokens import check_reach, take_tokens

    for name in allowed_hosts:
        try:
            check_host(name)
        except ValueError as error:
            raise InputError(f"--allowed-host: {error}") from None
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    tokens = take_tokens()
    check_reach(host, tokens)  # before anything heavy is imported
    import uvicorn

    from cl.commands.promotion import decide_version
    from cl.serving.http_connection import HttpConnection
    from cl.serving.team.app import create_team_app
    from cl.serving.team.folder import TeamFolder
    from cl.serving.team.routes import Team

    team = Team(TeamFolder(folder.resolve()), tokens, decide_version)
    config = uvicorn.Config(
        create_team_app(team, listens_on=host, allowed_hosts=allowed_hosts),
        host=host,
        port=port,
        http=HttpConnection,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    try:
        listener = config.bind_socket()
    except (SystemExit, OSError):
        raise InputError(f"{host}:{port}: cannot listen on this address") from None
    with listener:
        address = f"[{host}]" if ":" in host else host
        guarded = "with a token" if tokens else "without a token, for this machine only"
        print(
            f"http://{address}:{listener.getsockname()[1]}: the team's page, {guarded}, until interrupted", flush=True
        )
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn repeats the signal once it has stopped in order
            uvicorn.Server(config).run(sockets=[listener])
