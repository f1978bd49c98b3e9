"""The parts of one service, which `thumbstream.server.app` creates, and their life cycle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from thumbstream import __version__
from thumbstream.errors import StoreError, ThumbstreamError
from thumbstream.http.auth import BearerAuth, RateLimit, RequestGuard
from thumbstream.http.errors import ErrorResponder, NotReadyError
from thumbstream.http.response_cache import ResponseCache
from thumbstream.http.responses import (
    CORS,
    EXPIRING_CACHE_CONTROL,
    IMMUTABLE_CACHE_CONTROL,
)
from thumbstream.http.signing import SigningKeys
from thumbstream.http.uploads import UploadReader
from thumbstream.jobs import Jobs
from thumbstream.models import ModelRegistry
from thumbstream.pipeline import Pipeline
from thumbstream.settings import Settings
from thumbstream.storage import Store
from thumbstream.storage.reader import StreamReader
from thumbstream.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0
"""Time between two deletions of expired streams, where the store does not expire them itself."""


@dataclass
class Services:
    """The objects that all routes share.

    Call `open` before the first request and `close` after the last one.
    """

    settings: Settings
    metrics: Metrics
    store: Store
    reader: StreamReader
    models: ModelRegistry
    jobs: Jobs
    pipeline: Pipeline
    uploads: UploadReader
    auth: BearerAuth
    rate_limit: RateLimit | None
    guard: RequestGuard
    signing_keys: SigningKeys | None
    """Keys of signed URLs; None if reads are public."""
    cors: CORS
    errors: ErrorResponder
    responses: ResponseCache
    draining: bool = False
    """Whether the process is about to stop: it still serves requests, but /readyz answers 503."""
    is_open: bool = False
    start_error: ThumbstreamError | None = None
    """The error with which `open` failed, which the log has already."""
    _sweep: asyncio.Task[None] | None = None

    @property
    def immutable(self) -> str:
        """Cache-Control of a response with prefixes of streams, which never change."""
        return EXPIRING_CACHE_CONTROL if self.settings.retention_days else IMMUTABLE_CACHE_CONTROL

    def forget(self, ids: Sequence[str]) -> None:
        """Drops the streams ``ids``, which have been deleted from the store, from memory."""
        self.reader.forget(ids)
        self.responses.forget(ids)

    async def open(self) -> None:
        """Opens the store and the models, and starts the workers.

        Raises the error of the step that fails, and closes the store.
        """
        await self.store.open()
        try:
            await asyncio.to_thread(
                self.models.enable, self.settings.models, size=self.settings.default_size
            )
            await asyncio.to_thread(self.jobs.start)
        except BaseException:
            await self.store.close()
            raise
        self.is_open = True
        self._sweep = asyncio.create_task(self._delete_expired())
        [model, *_] = self.models.describe()
        self.metrics.set_build_info(
            version=__version__, model=model["id"], provider=",".join(model["providers"][:1])
        )
        log.info("ready: store=%s models=%s", self.store.name, ",".join(self.models.enabled))

    def drain(self) -> None:
        """Makes /readyz answer 503 from now on. Safe to call from a signal handler."""
        self.draining = True

    async def close(self) -> None:
        """Ends the jobs, then closes the connections of the rate limit and the store."""
        self.drain()
        self.is_open = False
        if self._sweep is not None:
            self._sweep.cancel()
            await asyncio.wait([self._sweep])
        await self.jobs.close()
        if self.rate_limit is not None:
            await self.rate_limit.close()
        await self.store.close()

    async def _delete_expired(self) -> None:
        while True:
            try:
                deleted = await self.store.delete_expired()
            except StoreError as error:
                log.warning("expired streams were not deleted: %s", error)
            else:
                if deleted:
                    log.info("%d expired streams were deleted", deleted)
            await asyncio.sleep(SWEEP_SECONDS)

    async def check_ready(self) -> None:
        """Raises `NotReadyError` if the service starts or stops, or its workers or store fail."""
        if self.draining:
            raise NotReadyError("the service is stopping")
        if not self.is_open:
            raise NotReadyError("the service is starting")
        if not self.jobs.is_alive():
            raise NotReadyError("the workers make no progress")
        try:
            async with asyncio.timeout(self.settings.store_timeout_seconds):
                await self.store.ping()
        except (TimeoutError, StoreError) as error:
            log.warning("store %s does not answer: %s", self.store.name, error)
            raise NotReadyError("the store does not answer") from None
