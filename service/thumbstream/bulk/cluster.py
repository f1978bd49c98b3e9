"""Many machines: the batches run on an existing Dask cluster.

Only paths are sent and only streams come back (some hundred bytes a picture). So the workers must
see the files under the same paths, and need no access to the store; they and the scheduler have the
same version of the package. Dask repeats the work of a lost worker on others. Why Dask:
docs/adr/0017.
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
"""Timeout of the connection to the scheduler."""

COUNT_INTERVAL_SECONDS = 2.0
"""How often workers are counted: they may come and go."""


class ClusterError(ThumbstreamError):
    """The Dask cluster cannot be reached, or the packages for it are not installed."""


class DaskCluster:
    """A `WorkerPool` on the cluster of the scheduler at ``address``, such as ``tcp://host:8786``.

    Raises `ClusterError`.
    """

    batch_size = 16
    """Some tenths of a second of work, since a job takes a round trip."""
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
        # The interface of concurrent.futures: one loop drives processes and clusters.
        self._executor = self._client.get_executor(pure=False)
        self._max_in_flight = 0
        self._counted = float("-inf")

    def max_in_flight(self) -> int:
        """Two for each thread of the cluster, at least two."""
        now = time.monotonic()
        if now - self._counted > COUNT_INTERVAL_SECONDS:
            self._max_in_flight = 2 * max(1, sum(self._client.nthreads().values()))
            self._counted = now
        return self._max_in_flight

    def submit(self, job: Job, batch: Sequence[FileInfo]) -> Future[list[Outcome]]:
        """Send ``batch`` to the cluster."""
        future: Future[list[Outcome]] = self._executor.submit(encode_files, job, batch)
        return future

    def close(self) -> None:
        """Cancel what is in flight, and leave the cluster running."""
        self._executor.shutdown(wait=False)
        self._client.close()


def _check_scheduler(client: Any, address: str) -> None:
    """Raise `ClusterError` for a scheduler that cannot read the jobs: it unpickles them."""

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
