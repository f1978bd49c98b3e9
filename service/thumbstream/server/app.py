"""The composition root: `create_services` builds every part of a service, `serve` runs it."""

from __future__ import annotations

from dataclasses import replace

from thumbstream.codec.runtime import uses_cuda
from thumbstream.http.app import Application
from thumbstream.http.auth import BearerAuth, RateLimit, RequestGuard
from thumbstream.http.connections import ConnectionLimits, limited_protocol
from thumbstream.http.errors import ErrorResponder
from thumbstream.http.response_cache import MAX_CACHE_BYTES, ResponseCache
from thumbstream.http.responses import CORS
from thumbstream.http.services import Services
from thumbstream.http.signing import SigningKeys
from thumbstream.http.uploads import UploadReader
from thumbstream.jobs import RESULTS, Jobs, ProcessJobs, ThreadJobs, open_default_model
from thumbstream.models import ModelRegistry, search_paths
from thumbstream.pipeline import Pipeline, PipelineConfig
from thumbstream.process_pool import JobLimits, ProcessPool
from thumbstream.server import run as server
from thumbstream.settings import Settings
from thumbstream.storage import Store, open_store
from thumbstream.storage.base import InstrumentedStore
from thumbstream.storage.reader import StreamCache, StreamReader
from thumbstream.telemetry import tracing
from thumbstream.telemetry.logging import configure_logging
from thumbstream.telemetry.metrics import Metrics
from thumbstream.thread_pool import ThreadPool


def create_app(
    settings: Settings, *, models: ModelRegistry | None = None, store: Store | None = None
) -> Application:
    """Creates the ASGI application of a service; its lifespan opens the store and the models.

    ``models`` replaces the installed models, ``store`` the one that ``settings.store`` names.
    Raises `ValueError` for an invalid store URL.
    """
    return Application(create_services(settings, models=models, store=store))


def create_services(
    settings: Settings, *, models: ModelRegistry | None = None, store: Store | None = None
) -> Services:
    """Creates the parts of a service without opening them. Parameters, errors: see `create_app`."""
    timeout = settings.store_timeout_seconds
    metrics = Metrics()
    store = store or open_store(
        settings.store, timeout=timeout, expiring=bool(settings.retention_days)
    )
    store = InstrumentedStore(store, metrics.observe_store)
    cache = StreamCache(settings.cache_bytes)
    isolated = models is None  # a caller's models cannot be sent to other processes
    models = models or ModelRegistry(device=settings.device)
    jobs = _create_jobs(settings, models, isolated=isolated)
    for name, text, read in (
        ("cache_bytes", "Bytes of the cache in memory.", lambda: cache.size),
        ("jobs_waiting", "Jobs in the queue.", lambda: jobs.waiting),
        ("jobs_running", "Jobs in workers.", lambda: jobs.running),
    ):
        metrics.callback_gauge(name, text, read)
    config = PipelineConfig(
        image_limits=settings.image_limits,
        measure_curves=settings.measure_curves,
        job_timeout=settings.job_timeout_seconds,
        store_timeout=timeout,
        retention_days=settings.retention_days,
    )
    auth = BearerAuth(token.get_secret_value() for token in settings.tokens)
    rate_limit = _create_rate_limit(settings)
    keys = [key.get_secret_value() for key in settings.read_keys]
    cors = CORS(settings.cors_origin)
    return Services(
        settings=settings,
        metrics=metrics,
        store=store,
        reader=StreamReader(store, cache, metrics, timeout=timeout),
        models=models,
        jobs=jobs,
        pipeline=Pipeline(models, jobs, store, metrics, config),
        uploads=UploadReader(
            max_bytes=settings.max_upload_bytes,
            max_concurrent=settings.max_concurrent_uploads,
            timeout=settings.upload_timeout_seconds,
        ),
        auth=auth,
        rate_limit=rate_limit,
        guard=RequestGuard(auth, rate_limit, metrics),
        signing_keys=SigningKeys(keys) if keys else None,
        cors=cors,
        errors=ErrorResponder(metrics, cors),
        responses=ResponseCache(MAX_CACHE_BYTES if settings.cache_bytes else 0),
    )


def _create_jobs(settings: Settings, models: ModelRegistry, *, isolated: bool) -> Jobs:
    """Creates jobs in processes if ``isolated``, else in threads; GPU networks run in threads."""
    workers, queue = settings.workers, settings.encode_queue
    threads = ThreadPool(workers, queue)
    if not isolated:
        return ThreadJobs(models, threads)
    limits = JobLimits(
        memory_bytes=settings.job_memory_bytes,
        processor_seconds=settings.job_cpu_seconds,
        seconds=settings.job_timeout_seconds,
    )
    if uses_cuda(settings.device):
        return ThreadJobs(models, threads, ProcessPool(workers, queue, limits))
    pool = ProcessPool(
        *(workers, queue, limits, open_default_model),
        classes=RESULTS,
        readable=search_paths(),
    )
    return ProcessJobs(pool, threads)


def _create_rate_limit(settings: Settings) -> RateLimit | None:
    if not settings.rate_limit:
        return None
    return RateLimit(settings.rate_limit, store=settings.rate_limit_store.get_secret_value())


def serve(
    settings: Settings,
    *,
    models: ModelRegistry | None = None,
    store: Store | None = None,
    limits: ConnectionLimits | None = None,
) -> bool:
    """Serves on ``settings.host`` and ``settings.port`` until a signal, then returns True.

    Returns False if the service cannot start; the log has the reason. ``models`` and ``store``: see
    `create_app`. ``limits`` replaces the default limits of connections, except ``connections``,
    which is always ``settings.max_connections``. Raises `ValueError` for an invalid store URL.
    """
    configure_logging(settings.log_level, settings.log_format)
    tracing.start()
    app = create_app(settings, models=models, store=store)
    services = app.services
    limits = replace(limits or ConnectionLimits(), connections=settings.max_connections)
    try:
        return server.run(
            tracing.TracingMiddleware(app, app.route) if tracing.enabled() else app,
            settings,
            protocol=limited_protocol(
                limits, services.metrics, services.errors, settings.root_path
            ),
            on_drain=services.drain,
        )
    finally:
        tracing.stop()
