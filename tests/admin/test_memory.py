"""Figures about memory, with and without Linux's own page about the process."""

from pathlib import Path

import pytest

from ccnode.admin import memory
from ccnode.admin.memory import memory_use

SIZE = 64 * 2**20


@pytest.mark.parametrize("status", [Path("/proc/self/status"), Path("/nowhere")])
def test_memory_in_use_is_counted_in_bytes(monkeypatch: pytest.MonkeyPatch, status: Path) -> None:
    monkeypatch.setattr(memory, "_STATUS", status)
    before, _ = memory_use()
    ballast = b"\1" * SIZE
    during, peak = memory_use()
    assert 0.9 * SIZE < during - before < 1.5 * SIZE
    assert peak >= during
    del ballast
    after, still = memory_use()
    assert after < during
    assert still > during - SIZE / 20  # the kernel keeps the peak less exactly
