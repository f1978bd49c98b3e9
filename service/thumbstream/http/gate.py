"""Ahead of routes that cost work: who asks, may they, and how often."""

from __future__ import annotations

from starlette.requests import Request

from thumbstream.http.auth import Doorkeeper
from thumbstream.http.rate_limit import RateLimit
from thumbstream.http.refusals import UnauthorizedError
from thumbstream.telemetry.metrics import Metrics

TOKEN = "thumbstream.token"  # noqa: S105 (the name of a field)
"""Member of an ASGI scope: the name of the token that the request carried."""

FIELDS = "thumbstream.fields"
"""Member of an ASGI scope: header fields (str to str) that go with the answer."""


class Gate:
    """Dependencies of FastAPI routes; both raise `RefusedError`."""

    def __init__(self, doorkeeper: Doorkeeper, limit: RateLimit | None, metrics: Metrics) -> None:
        self._doorkeeper = doorkeeper
        self._limit = limit
        self._metrics = metrics

    async def upload(self, request: Request) -> None:
        """Lets in who has a token, where tokens are configured, as often as the limit allows."""
        await self._pass(request, needed=True)

    async def work(self, request: Request) -> None:
        """Lets everybody in, as often as the limit allows."""
        await self._pass(request, needed=False)

    async def _pass(self, request: Request, *, needed: bool) -> None:
        refused: UnauthorizedError | None = None
        name: str | None = None
        try:
            name = self._doorkeeper.admit(request.headers.get("authorization"))
        except UnauthorizedError as error:
            refused = error
        if name is not None:
            request.scope[TOKEN] = name
            self._metrics.count_token(name)
        if self._limit is not None:  # ahead of the refusal: guesses at tokens count as well
            address = request.client.host if request.client else None
            request.scope[FIELDS] = await self._limit.count(name, address)
        if needed and refused is not None:
            raise refused
