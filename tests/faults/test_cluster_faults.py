"""A real Redis Cluster of three primaries and three replicas, one primary of which is killed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from fault_service import service, until
from launch import wait_until
from redis.crc import key_slot
from redis_servers import ClusterMember, RedisCluster

from thumbstream.storage.redis import KEY_PREFIX

OPTIONS = (
    *("--cluster-node-timeout", "1000"),
    *("--cluster-require-full-coverage", "no"),
    *("--appendonly", "yes", "--appendfsync", "always"),
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"), options=OPTIONS)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


async def test_failover_of_a_killed_primary(cluster: RedisCluster, fault_rounds: int) -> None:
    for round_ in range(fault_rounds):
        # The replica of the first round is the primary of the second, and so on.
        primary, replica = (cluster.members[i] for i in ((0, 3) if round_ % 2 == 0 else (3, 0)))
        await one_failover(cluster, primary, replica)


async def one_failover(
    cluster: RedisCluster, primary: ClusterMember, replica: ClusterMember
) -> None:
    slots = cluster.slots_of(0)

    def unavailable(keys: list[str]) -> list[str]:
        return [key for key in keys if key_slot((KEY_PREFIX + key).encode()) in slots]

    async with service(cluster.url) as users:
        async with users.load():
            await until(lambda: len(unavailable(users.acknowledged)) > 20)
            certain = list(users.acknowledged)
            offset = primary.replication("master_repl_offset")
            await until(lambda: replica.replication("slave_repl_offset") >= offset)
            primary.stop()
            died = time.monotonic()
            refused = users.refused_uploads
            await until(lambda: users.refused_uploads > refused)
            count = len(users.acknowledged)
            assert await users.healthy()
            await until(lambda: users.read(unavailable(certain)[0]))
            reads_after = time.monotonic() - died
            await until(lambda: unavailable(users.acknowledged[count:]))
            writes_after = time.monotonic() - died
            await until(users.ready)
        lost = await users.lost()
        print(
            f"slots of the dead primary: reads after {reads_after:.1f} s, writes after "
            f"{writes_after:.1f} s; 503 to {users.refused_reads} reads and "
            f"{users.refused_uploads} uploads; "
            f"{len(lost)} of {len(users.acknowledged)} acknowledged streams lost"
        )
        # What the primary acknowledged and had not passed on yet is lost with it, and nothing else.
        assert not set(lost) & set(certain)
        assert unavailable(lost) == lost
    await asyncio.to_thread(primary.start)
    await asyncio.to_thread(
        wait_until, lambda: primary.replication("master_link_status") == "up", "the replica is back"
    )


async def test_other_slots_are_served_while_a_primary_is_down(
    cluster: RedisCluster,
) -> None:
    """Without replicas that could take over: nothing of a whole Cluster is lost but its part."""
    async with service(cluster.url) as users:
        for _ in range(30):
            assert await users.upload()
        primary = next(m for m in (cluster.members[1], cluster.members[4]) if m.is_primary())
        replica = cluster.members[4 if primary is cluster.members[1] else 1]
        replica.stop()
        primary.stop()
        slots = cluster.slots_of(1)
        keys = users.acknowledged
        dead = [key for key in keys if key_slot((KEY_PREFIX + key).encode()) in slots]
        living = [key for key in keys if key not in dead]
        assert dead
        assert not await users.read(dead[0])
        for key in living:
            await until(lambda key=key: users.read(key))

        async def only_the_living_are_served() -> bool:
            answers = await asyncio.gather(*(users.read(key) for key in keys))
            return [key for key, served in zip(keys, answers, strict=True) if served] == living

        # Gathered into one read, the dead do not take the living with them.
        await until(only_the_living_are_served)
        await asyncio.to_thread(primary.start)
        await asyncio.to_thread(replica.start)
        for key in dead:
            await until(lambda key=key: users.read(key))
        await until(users.upload)
