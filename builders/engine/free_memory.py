"""How much memory this process may still take: of the machine, and of its container."""

from __future__ import annotations

import math
import re
from pathlib import Path

_MACHINE = Path("/proc/meminfo")
_CONTAINERS = (  # of cgroups 2 and 1: the limit, what is used, and the caches in it
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


def free_bytes(machine: Path = _MACHINE, containers: Path = Path("/sys/fs/cgroup")) -> float:
    """The bytes that are free, caches included; infinite where the system does not report them."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", _text(machine), re.MULTILINE)
    free = int(found[1]) * 1024 if found else math.inf
    for limit, used, cache in _CONTAINERS:
        most, now = (_text(containers / name).strip() for name in (limit, used))
        if most.isdigit() and now.isdigit():
            parts = _text((containers / limit).with_name("memory.stat"))
            cached = re.search(rf"^{cache} (\d+)$", parts, re.MULTILINE)
            free = min(free, int(most) - int(now) + int(cached[1] if cached else 0))
    return free


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
