"""A worker pool on many machines: batches of files run on an existing Dask cluster.

Workers receive paths and return streams and curves (some hundred bytes a picture). So every worker
must be able to read the files under the same paths, but needs no access to the store. The workers
and the scheduler must have the same version of the package as this process. If a worker is lost,
Dask repeats its batches on other workers. docs/adr/0017 explains the choice of Dask.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import thumbstream
from thumbstream.bulk.encode_files import Job, Outcome, encode_files
from thumbstream.bulk.scan import FileInfo
from thumbstream.errors import ThumbstreamError

CONNECT_SECONDS = 30.0
"""Timeout for connecting to the scheduler."""

COUNT_INTERVAL_SECONDS = 2.0
"""Minimum time between two counts of the workers, whose number may change during a run."""


class ClusterError(ThumbstreamError):
    """The scheduler is not reachable or has another version, or Dask is not installed here."""


class DaskCluster:
    """A `WorkerPool` on the Dask cluster of one scheduler.

    ``address``: address of the scheduler, such as ``tcp://host:8786``. Raises `ClusterError`.
    """

    batch_size = 16
    """Number of files in one batch, enough work to outweigh the round trip of a job."""
    crash_errors: tuple[type[BaseException], ...]
    isolated = False

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError:
            raise ClusterError(
                "a Dask cluster needs an extra: pip install 'thumbstream[dask]'"
            ) from None
        dask: Any = distributed  # its types are not complete
        try:
            self._client = dask.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(f"no Dask scheduler answers at {address}: {error}") from error
        try:
            _check_scheduler(self._client, address)
        except BaseException:
            self._client.close()
            raise
        self.crash_errors = (dask.KilledWorker, MemoryError)
        # Returns futures of concurrent.futures, so `Runner` handles both kinds of pools alike.
        self._executor = self._client.get_executor(pure=False)
        self._max_in_flight = 0
        self._counted = float("-inf")

    def max_in_flight(self) -> int:
        """Return two batches for each worker thread of the cluster, at least two in total."""
        now = time.monotonic()
        if now - self._counted > COUNT_INTERVAL_SECONDS:
            self._max_in_flight = 2 * max(1, sum(self._client.nthreads().values()))
            self._counted = now
        return self._max_in_flight

    def submit(self, job: Job, batch: Sequence[FileInfo]) -> Future[list[Outcome]]:
        """Send ``batch`` to the cluster to encode its files."""
        future: Future[list[Outcome]] = self._executor.submit(encode_files, job, batch)
        return future

    def close(self) -> None:
        """Cancel the batches in flight and disconnect; the cluster keeps running."""
        self._executor.shutdown(wait=False)
        self._client.close()


def _check_scheduler(client: Any, address: str) -> None:
    """Raise `ClusterError` unless the scheduler, which unpickles the jobs, has the same version."""

    def scheduler_version() -> str:  # nested, so that it is sent by value
        import thumbstream

        return thumbstream.__version__

    try:
        found = client.run_on_scheduler(scheduler_version)
    except ImportError:
        found = "no thumbstream"
    if found != thumbstream.__version__:
        raise ClusterError(
            f"the scheduler at {address} needs thumbstream {thumbstream.__version__}, has {found}"
        )
