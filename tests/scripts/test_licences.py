"""A package that Apache-2.0 code cannot be distributed with fails the check, and is named."""

from pathlib import Path

import pytest

from scripts.licences import main


def install(folder: Path, name: str, *lines: str) -> None:
    """What an installed package declares, as pip leaves it."""
    there = folder / f"{name}-1.0.dist-info"
    there.mkdir(parents=True)
    head = ("Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0")
    (there / "METADATA").write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")


def potstill_requires(folder: Path, *requirements: str) -> None:
    lines = [f"Requires-Dist: {requirement}" for requirement in requirements]
    install(folder, "potstill", "License-Expression: Apache-2.0", *lines)


def test_a_gpl_package_fails_in_one_line_that_names_it_and_who_requires_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    potstill_requires(tmp_path, "Good_Thing[fast]>=2; python_version > '3'", "not-installed")
    install(
        *(tmp_path, "good.thing", "License: MIT", "Provides-Extra: fast"),
        *("Requires-Dist: copyleft>=1; extra == 'fast'", "Requires-Dist: tool; extra == 'dev'"),
    )
    install(tmp_path, "copyleft", "License-Expression: GPL-3.0-or-later")
    install(tmp_path, "tool", "License-Expression: AGPL-3.0-only")
    assert main([str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.err == (
        "licences: copyleft 1.0, required by good-thing, has the licence 'GPL-3.0-or-later'; "
        "remove it, or give scripts/licences.py a reason to permit it\n"
    )
    assert "3 packages for a default installation" in printed.out
    assert "1 packages for development, not judged\n    AGPL-3.0-only: tool" in printed.out


def test_the_licences_that_may_be_distributed_are_told_from_those_that_may_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    osi = "Classifier: License :: OSI Approved"
    exception = "License: GPLv2 with linking exception"
    cases = (
        (["License-Expression: MPL-2.0 AND (GPL-2.0-only OR MIT)"], True),
        (["License-Expression: MIT AND (GPL-2.0-only OR SSPL-1.0)"], False),
        (["License-Expression: GPL-3.0-only OR MIT AND BSD-3-Clause"], True),
        (["License-Expression: Apache-2.0 AND LGPL-2.1-only"], False),
        (["License: UNKNOWN", f"{osi} :: Apache Software License"], True),
        (["License: Copyright (c) 2001 " + "and " * 30, f"{osi} :: BSD License"], True),
        (["License: Copyright (c) 2001 " + "and " * 30], False),
        (["License: MIT", f"{osi} :: GNU Affero General Public License v3"], False),
        (["License: CC-BY-NC-4.0"], False),
        (["Classifier: License :: Other/Proprietary License"], False),
        ([osi], False),
        ([], False),
        ([exception], False),
    )
    for number, (lines, permitted) in enumerate(cases):
        folder = tmp_path / str(number)
        potstill_requires(folder, "one")
        install(folder, "one", *lines)
        assert main([str(folder)]) == (not permitted), lines
        assert ("licences: one 1.0" in capsys.readouterr().err) != permitted, lines
    for name, lines, code in (("excepted", [exception], 0), ("changed", ["License: GPLv2"], 1)):
        potstill_requires(tmp_path / name, "pygit2")
        install(tmp_path / name, "pygit2", *lines)
        assert main([str(tmp_path / name)]) == code, name


def test_an_environment_without_potstill_is_not_called_good(tmp_path: Path) -> None:
    install(tmp_path, "other", "License: MIT")
    assert main([str(tmp_path)]) == 1
