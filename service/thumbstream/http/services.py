"""The parts of a running service, wired once, and the order in which they start and stop."""

from __future__ import annotations

import asyncio
import logging

from thumbstream import __version__
from thumbstream.errors import StoreError
from thumbstream.http.auth import Doorkeeper
from thumbstream.http.errors import ANSWERS, INTERNAL
from thumbstream.http.gate import Gate
from thumbstream.http.rate_limit import RateLimit
from thumbstream.http.refusals import NotReadyError
from thumbstream.http.signing import ReadKeys
from thumbstream.http.uploads import Uploads
from thumbstream.models import ModelRegistry
from thumbstream.pipeline import Limitations, Pipeline
from thumbstream.settings import Settings
from thumbstream.storage import Store
from thumbstream.storage.base import InstrumentedStore
from thumbstream.storage.reader import StreamCache, StreamReader
from thumbstream.telemetry.metrics import Metrics
from thumbstream.workers import Workers

log = logging.getLogger(__name__)


class Service:
    """Everything that answers share. `open` before the first request, `close` after the last."""

    def __init__(self, settings: Settings, *, models: ModelRegistry, store: Store) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.metrics.declare_error_codes(answer.code for answer in [*ANSWERS.values(), INTERNAL])
        self.store = store = InstrumentedStore(store, self.metrics.observe_store)
        self.workers = Workers(settings.threads, settings.encode_queue)
        self.metrics.callback_gauge(
            "jobs_waiting", "Jobs in the queue.", lambda: self.workers.waiting
        )
        self.metrics.callback_gauge(
            "jobs_running", "Jobs in threads.", lambda: self.workers.running
        )
        self.models = models
        cache = StreamCache(settings.cache_bytes)
        self.metrics.callback_gauge(
            "cache_bytes", "Bytes of the cache in memory.", lambda: cache.size
        )
        self.reader = StreamReader(
            store,
            cache,
            self.metrics,
            timeout=settings.store_timeout_seconds,
        )
        self.pipeline = Pipeline(
            self.models,
            self.workers,
            store,
            self.metrics,
            Limitations(
                ingest=settings.picture_limits,
                curves=settings.curves,
                preview_pixels=settings.decode_max_pixels,
                work_timeout=settings.work_timeout_seconds,
                store_timeout=settings.store_timeout_seconds,
            ),
        )
        self.uploads = Uploads(
            limit=settings.max_upload_bytes,
            uploads=settings.max_uploads,
            timeout=settings.upload_timeout_seconds,
        )
        self.doorkeeper = Doorkeeper(token.get_secret_value() for token in settings.tokens)
        self.rate_limit = _rate_limit(settings)
        self.gate = Gate(self.doorkeeper, self.rate_limit, self.metrics)
        keys = [key.get_secret_value() for key in settings.read_keys]
        self.read_keys = ReadKeys(keys) if keys else None
        self.draining = False
        """Set when the process was asked to stop: it still serves, but wants no new clients."""
        self._open = False

    async def open(self) -> None:
        """Opens the store and the models, and warms the models up. Raises what they raise."""
        await self.store.open()
        try:
            await asyncio.to_thread(
                self.models.enable, self.settings.models, size=self.settings.default_size
            )
        except BaseException:
            await self.store.close()
            raise
        self._open = True
        [model, *_] = self.models.describe()
        self.metrics.set_build_info(
            version=__version__, model=model["id"], provider=",".join(model["providers"][:1])
        )
        log.info("open: store %s, models %s", self.store.name, ", ".join(self.models.enabled))

    def drain(self) -> None:
        """Not ready from now on. Safe to call from a signal handler."""
        self.draining = True

    async def close(self) -> None:
        """Ends the jobs that run, then closes the store."""
        self.drain()
        self._open = False
        await self.workers.close()
        if self.rate_limit is not None:
            await self.rate_limit.close()
        await self.store.close()

    async def check_ready(self) -> None:
        """Raises `NotReadyError` or `StoreError` when new clients should go elsewhere."""
        if self.draining:
            raise NotReadyError("the service is stopping")
        if not self._open:
            raise NotReadyError("the service is starting")
        try:
            async with asyncio.timeout(self.settings.store_timeout_seconds):
                await self.store.ping()
        except (TimeoutError, StoreError) as error:
            log.warning("store %s does not answer: %s", self.store.name, error)
            raise NotReadyError("the store does not answer") from None


def _rate_limit(settings: Settings) -> RateLimit | None:
    if not settings.rate_limit:
        return None
    return RateLimit(
        settings.rate_limit,
        store=settings.rate_limit_store.get_secret_value(),
        timeout=settings.store_timeout_seconds,
    )
