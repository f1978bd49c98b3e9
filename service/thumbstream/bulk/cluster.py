"""Many machines: the batches run on a Dask cluster that is there already.

Only paths go out and only streams come back (some hundred bytes a picture), so the workers must see
the files under the same paths, have this version of the package, and need nothing of the store.
Dask runs the work of a worker that was lost again on others. Why Dask: docs/adr/0017.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from thumbstream.bulk.jobs import Job, Outcome, make
from thumbstream.bulk.scan import Found
from thumbstream.errors import ThumbstreamError

CONNECT_S = 30.0
"""How long a scheduler may take to answer, seconds."""

LOOK_S = 2.0
"""How often workers are counted, seconds: they may come and go."""


class ClusterError(ThumbstreamError):
    """A Dask cluster that cannot be reached, or used without an extra."""


class DaskCluster:
    """An `Engine` on the cluster of the scheduler at ``address``, e.g. ``tcp://host:8786``.

    Raises `ClusterError`.
    """

    crashes: tuple[type[BaseException], ...]

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError:
            raise ClusterError(
                "a Dask cluster needs an extra: pip install 'thumbstream[dask]'"
            ) from None
        dask: Any = distributed  # its types are not complete
        try:
            self._client = dask.Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(f"no Dask scheduler answers at {address}: {error}") from error
        self.crashes = (dask.KilledWorker,)
        # Dask's own view of itself as an executor of concurrent.futures: the same loop drives
        # processes of this machine and of a cluster.
        self._executor = self._client.get_executor(pure=False)
        self._room = 0
        self._looked = float("-inf")

    def room(self) -> int:
        """Two for each thread of the cluster; two while it has none."""
        now = time.monotonic()
        if now - self._looked > LOOK_S:
            self._room = 2 * max(1, sum(self._client.nthreads().values()))
            self._looked = now
        return self._room

    def submit(self, job: Job, batch: Sequence[Found]) -> Future[list[Outcome]]:
        """Send ``batch`` to the cluster."""
        future: Future[list[Outcome]] = self._executor.submit(make, job, batch)
        return future

    def close(self) -> None:
        """Cancel what is under way, and leave the cluster running."""
        self._executor.shutdown(wait=False)
        self._client.close()
