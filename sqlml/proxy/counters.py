"""
What the proxy counts, in memory that all its processes share.

Every writer has a block of its own, since adding to a number in memory is not atomic in Python;
a number is the sum over all blocks. A gauge goes up and down, so it may be below zero in one.
"""

import mmap
from enum import IntEnum

BLOCK_SLOTS = 32
"""64-bit numbers in a block: whole cache lines, so that no writer slows another one down."""
_SLOT_BYTES = 8
_WRITERS_PER_WORKER = 2


class Counter(IntEnum):
    """The numbers and their slots in a block."""

    SESSIONS = 0
    """Sessions that are there now, from the start-up packet to the end; cancel requests not."""
    SESSIONS_TOTAL = 1
    CONNECTIONS_TOTAL = 2
    """Accepted sockets: sessions, cancel requests, probes and what was refused."""
    CANCEL_REQUESTS = 3
    TLS_HANDSHAKES = 4
    START_UPS_REFUSED = 5
    """Malformed, unencrypted or too slow."""
    SESSIONS_REFUSED = 6
    """Beyond --max-connections."""
    UPSTREAM_FAILURES = 7
    BYTES_FROM_CLIENTS = 8
    BYTES_FROM_UPSTREAM = 9
    MIGRATIONS = 10
    """Sessions that left the relay for a model statement."""
    WORKER_RESTARTS = 11


GAUGES = (Counter.SESSIONS,)


class Block:
    """The numbers of one writer."""

    def __init__(self, slots: memoryview):
        self.slots = slots
        """BLOCK_SLOTS signed 64-bit numbers; a writer in C takes their address."""

    def add(self, counter: Counter, amount: int = 1) -> None:
        self.slots[counter] += amount


class Counters:
    """The blocks of all workers, made before the first of them is forked."""

    def __init__(self, workers: int = 1):
        self._blocks = workers * _WRITERS_PER_WORKER
        self._memory = mmap.mmap(-1, self._blocks * BLOCK_SLOTS * _SLOT_BYTES)
        self._slots = memoryview(self._memory).cast("q")

    def event_loop(self, worker: int) -> Block:
        """The block of a worker's event loop."""
        return self._block(worker * _WRITERS_PER_WORKER)

    @property
    def slots(self) -> memoryview:
        """All blocks one behind the other."""
        return self._slots

    def relay_block(self, worker: int) -> int:
        """The place of the block of a worker's relay among all blocks."""
        return worker * _WRITERS_PER_WORKER + 1

    def get(self, counter: Counter) -> int:
        """Return one number, summed over all processes."""
        return sum(self._slots[counter::BLOCK_SLOTS])

    def read(self) -> dict[str, int]:
        """Return all numbers by their names in lower case."""
        return {counter.name.lower(): self.get(counter) for counter in Counter}

    def forget_gauges(self, worker: int) -> None:
        """Take back what a worker that died held."""
        for block in (self.event_loop(worker), self._block(self.relay_block(worker))):
            for gauge in GAUGES:
                block.slots[gauge] = 0

    def _block(self, index: int) -> Block:
        return Block(self._slots[index * BLOCK_SLOTS : (index + 1) * BLOCK_SLOTS])
