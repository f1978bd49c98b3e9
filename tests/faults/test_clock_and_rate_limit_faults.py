"""The clock jumps, and the Redis of the rate limit dies or hangs: uploads and reads go on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fault_proxy import FaultProxy
from fault_service import service, until

from thumbstream.http.auth import STORE_TIMEOUT_SECONDS, RateLimit
from thumbstream.http.errors import RateLimitedError

HOUR = 3600.0


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 30 * 365 * 24 * HOUR])
async def test_clock_jumps_stop_neither_uploads_nor_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    async with service(f"sqlite:///{tmp_path}/s.db", rate_limit="1000/minute") as users:
        assert await users.upload()
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + jump)
        assert await users.upload()
        assert all([await users.read(key) for key in users.acknowledged])
        assert await users.healthy()
        assert await users.ready()


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_clock_jumps_block_no_client_longer_than_the_window(
    monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    limit = RateLimit("2/minute", store="")
    real, offset = time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: real() + offset)
    for offset in (0.0, jump, 0.0):  # noqa: B007 (the clock reads it)
        with pytest.raises(RateLimitedError) as rejected:
            for _ in range(9):
                await limit.check("web", None)
        assert 1 <= int(rejected.value.headers["Retry-After"]) <= 120
    await limit.close()


async def test_outage_of_the_rate_limit_delays_one_request(redis_url: str, tmp_path: Path) -> None:
    port = int(redis_url.rpartition(":")[2])
    async with (
        FaultProxy(port) as proxy,
        service(
            f"sqlite:///{tmp_path}/s.db",
            rate_limit="1000/minute",
            rate_limit_store=f"redis://127.0.0.1:{proxy.port}",
        ) as users,
    ):
        async with users.load():
            await until(lambda: len(users.acknowledged) > 5)
            for fault in ("black_hole", "refuse"):
                setattr(proxy, fault, True)
                proxy.reset()
                stored = len(users.acknowledged)
                begun = time.monotonic()
                await until(lambda stored=stored: len(users.acknowledged) > stored + 10)
                assert time.monotonic() - begun < 20 * STORE_TIMEOUT_SECONDS + 10
                proxy.heal()
        assert await users.lost() == []
        assert users.refused_uploads == 0
