"""Cost of a read and of a write in each store: ``python -m loadtest.bench.stores URL...``.

    python -m loadtest.bench.stores sqlite:////tmp/a.db redis://localhost

Processor time is that of this process, without the server's. Ratios are relative to the first
store.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable

from thumbstream.storage import Store, open_store

STREAM_BYTES = 450
"""About a stream of 32x32 pixels."""
KEYS = 2000
BATCH = 50


async def timed(count: int, operation: Callable[[int], Awaitable[object]]) -> tuple[float, float]:
    """Microseconds of one operation of ``count``, one after another: elapsed, and on a core."""
    wall, core = time.perf_counter(), time.process_time()
    for number in range(count):
        await operation(number)
    return (
        (time.perf_counter() - wall) / count * 1e6,
        (time.process_time() - core) / count * 1e6,
    )


async def measure(url: str) -> dict[str, tuple[float, float]]:
    """Elapsed and processor time of each operation in the store at ``url``."""
    store: Store = open_store(url)
    await store.open()
    keys = [secrets.token_urlsafe(16) for _ in range(KEYS)]
    value = bytes(STREAM_BYTES)
    wall, core = time.perf_counter(), time.process_time()
    await asyncio.gather(*(store.put(key, value) for key in keys))
    put = (
        (time.perf_counter() - wall) / KEYS * 1e6,
        (time.process_time() - core) / KEYS * 1e6,
    )
    await store.get_many(keys)
    one = await timed(KEYS, lambda n: store.get_many([keys[n]]))
    many = await timed(KEYS // BATCH, lambda n: store.get_many(keys[n * BATCH : (n + 1) * BATCH]))
    await store.close()
    return {"read of one": one, f"read of {BATCH}": many, f"put, {KEYS} at once": put}


def main() -> None:
    """Measure each store and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("stores", nargs="+", metavar="URL")
    stores = parser.parse_args().stores
    costs = [asyncio.run(measure(url)) for url in stores]
    for what, first in costs[0].items():
        print(what)
        for url, cost in zip(stores, costs, strict=True):
            wall, core = cost[what]
            ratio = f"{wall / first[0]:6.1f} x elapsed, {core / first[1]:6.1f} x on a core"
            print(f"  {wall:9.0f} us, {core:9.0f} us on a core ({ratio})  {url}")


if __name__ == "__main__":
    main()
