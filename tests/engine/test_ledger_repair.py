"""What can be read of a damaged ledger is saved: every answer of a page that is not damaged."""

from __future__ import annotations

import random
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from builders.engine.calls import Answer, Call, Failure
from builders.engine.ledger import Ledger
from builders.engine.ledger_repair import repair
from builders.engine.sqlite_rows import PAGE
from builders.errors import FolderError
from tests.cases import each
from tests.engine.test_ledger import answer, call, fail, opened, record, start
from tests.small_disk import small_disk

COUNT = 300
TEACHER = ("writer", "http://x/v1", "m", "r")


def long(number: int) -> Answer:
    """An answer that does not compress to one page, for every tenth number."""
    noise = random.Random(number).randbytes(6000).hex() if number % 10 == 0 else ""
    return answer(number, text=f"{answer(number).text} {noise}", output_tokens=number)


def judged(number: int) -> Call:
    return call(number, role="judge", endpoint="http://y/v1", revision=None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a ledger with the answers 0 to 299, one of another teacher, and a failure."""
    path = tmp_path_factory.mktemp("whole") / "ledger.sqlite"
    with opened(path) as ledger:
        record(ledger, *((call(n), long(n)) for n in range(COUNT)), cost_usd=0.5, hedged=1)
        record(ledger, (judged(-1), long(-1)))
        fail(ledger, call(-2), Failure("http 400", "too long", status=400))
    return path.read_bytes()


def pages_of(content: bytes, *, leaves: bool) -> list[int]:
    """The numbers of the leaves of tables, or of all other pages that begin a tree or an index."""
    types = {at // PAGE + 1: content[at] for at in range(PAGE, len(content), PAGE)}
    return [number for number, kind in types.items() if (kind == 13) == leaves]


def overwritten(path: Path, page: int) -> None:
    """A page of noise, as a failing disk gives it."""
    noise = path.with_name("noise")
    noise.write_bytes(random.Random(page).randbytes(PAGE))
    where = [f"if={noise}", f"of={path}", f"bs={PAGE}", f"seek={page - 1}", "conv=notrunc"]
    subprocess.run(["dd", *where], check=True, capture_output=True)


def readable(path: Path) -> list[int]:
    """The numbers of the answers that a ledger gives, each of them the right one."""
    with opened(path) as ledger:
        found = [number for number in range(COUNT) if ledger.get(call(number).key) is not None]
        for number in found:
            assert ledger.get(call(number).key) == long(number)
        calls = [one for one, _, _ in ledger.answers(call(number).key for number in found)]
        assert calls == [call(number) for number in found]
        assert len(ledger) == len(found) + (ledger.get(judged(-1).key) is not None)
        record(ledger, (call(-9), answer(9)))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return found


def test_a_whole_ledger_is_left_as_it_is(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(whole)
    assert repair(path, []) is None
    assert path.read_bytes() == whole and [*tmp_path.iterdir()] == [path]


def test_each_damaged_page_costs_its_own_answers_only(tmp_path: Path, whole: bytes) -> None:
    leaves = pages_of(whole, leaves=True)
    for page in random.Random(3).sample(leaves, 5):
        path = tmp_path / f"{page}" / "ledger.sqlite"
        path.parent.mkdir()
        path.write_bytes(whole)
        overwritten(path, page)
        broken = path.read_bytes()
        facts = repair(path, [TEACHER, ("judge", "http://y/v1", "m", None)])
        assert facts
        found = readable(path)
        assert len(found) >= COUNT - 20 and facts["lost"] <= 20
        assert facts["answers"] + facts["lost"] >= COUNT
        assert (path.parent / facts["damaged"]).read_bytes() == broken


def tops(content: bytes) -> list[int]:
    """Pages of indices and of the insides of trees; the first holds the table of contents."""
    return [1, *pages_of(content, leaves=False)]


def test_indices_and_the_table_of_contents_are_made_anew(tmp_path: Path, whole: bytes) -> None:
    kinds = {1, *(n for n in tops(whole) if n > 1 and whole[(n - 1) * PAGE] in (2, 5, 10))}
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(whole)
    for page in kinds:
        overwritten(path, page)
    with pytest.raises(FolderError):
        Ledger.open(path)
    assert repair(path, []) == {
        "answers": COUNT + 1,
        "failures": 1,
        "lost": 0,
        "lost_exactly": False,
        "damaged": "ledger.sqlite.damaged",
    }
    assert readable(path) == [*range(COUNT)]
    with opened(path) as ledger:
        assert ledger.get(judged(-1).key) == long(-1)
        failure = ledger.failure(call(-2).key)
        assert failure and (failure.cause, str(failure), failure.status) == (
            "http 400",
            "too long",
            400,
        )
        sums = ledger.summary()
        assert (sums["cost_usd"], sums["calls"]) == (150.0, COUNT + 2)


def test_a_loss_is_exact_only_where_every_page_can_be_looked_at(
    tmp_path: Path, whole: bytes
) -> None:
    """The last answers leave no trace where the pages that hold them and their keys are gone."""
    content = bytearray(whole)
    for at in range(2 * PAGE, len(whole), 3 * PAGE):
        content[at : at + PAGE] = bytes(PAGE)
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    facts = repair(path, [TEACHER])
    assert facts and facts["answers"] + facts["lost"] <= COUNT + 1 and not facts["lost_exactly"]


def test_a_teacher_whose_name_is_damaged_is_found_by_the_keys_of_its_calls(
    tmp_path: Path, whole: bytes
) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(whole.replace(b'"http://x/v1","m","r"]', b'"http://z/v1","m","r"]', 1))
    with opened(path) as ledger, pytest.raises(FolderError, match="damaged at a teacher's name"):
        [*ledger.answers([call(1).key])]
    facts = repair(path, [("judge", "http://q/v1", "m", "r"), TEACHER])
    assert facts and (facts["answers"], facts["lost"]) == (COUNT + 1, 0)
    assert readable(path) == [*range(COUNT)]


@each("bytes_kept", [0.9, 0.5, 0.2])
def test_a_truncated_ledger_keeps_what_it_has(
    tmp_path: Path, whole: bytes, bytes_kept: float
) -> None:
    path = tmp_path / f"{bytes_kept}" / "ledger.sqlite"
    path.parent.mkdir()
    path.write_bytes(whole[: int(len(whole) * bytes_kept)])
    facts = repair(path, [TEACHER])
    assert facts and not facts["lost_exactly"]
    found = readable(path)
    assert len(found) > COUNT * bytes_kept * 0.8 - 10
    assert 0 < facts["lost"] <= COUNT + 1 - len(found)


@each("cut", [1, 2, 40, 700, 2500, PAGE - 1, PAGE, PAGE + 1, PAGE + 904, 3 * PAGE + 1900])
def test_every_answer_of_a_last_page_that_is_cut_is_saved_if_its_bytes_are_there(
    tmp_path: Path, cut: int
) -> None:
    path = tmp_path / f"{cut}" / "ledger.sqlite"
    with opened(path) as ledger:
        record(ledger, *((call(n), answer(n)) for n in range(60)))
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT key, texts FROM answers").fetchall()
    content = path.read_bytes()[:-cut]
    path.write_bytes(content)
    facts = repair(path, [TEACHER])
    with closing(sqlite3.connect(path)) as connection:
        saved = connection.execute("SELECT key, texts FROM answers").fetchall()
    assert sorted(saved) == sorted(row for row in rows if row[1] in content)
    assert facts and facts["answers"] == len(saved) and not facts["lost_exactly"]
    assert facts["lost"] <= len(rows) - len(saved)


@each(("more", "answers"), {"the unused end": (0, 4), "a byte of the text": (1, 3)}.values())
def test_a_long_answer_is_saved_unless_a_part_of_it_is_cut(
    tmp_path: Path, more: int, answers: int
) -> None:
    path = tmp_path / f"{more}" / "ledger.sqlite"
    with opened(path) as ledger:
        record(ledger, *((call(n), long(n)) for n in (1, 2, 3, 10)))
    content = path.read_bytes()
    used = len(content.rstrip(b"\0"))
    assert len(content) - used > 100  # of the long answer's last page
    path.write_bytes(content[: used - more])
    facts = repair(path, [TEACHER])
    assert facts and facts["answers"] == answers


def test_a_failure_is_saved_unless_a_part_of_it_is_cut(tmp_path: Path) -> None:
    """A failure has no checksum, so nothing is put in the place of what is gone."""
    path = tmp_path / "ledger.sqlite"
    with opened(path) as ledger:
        record(ledger, (call(0), answer(0)))
        for number in (1, 2, 3):
            fail(ledger, call(number), Failure("http 500", f"failure {number}", status=500))
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"failure 1") + 4])
    facts = repair(path, [TEACHER])
    assert facts and facts["answers"] == 1
    with opened(path) as ledger:
        words = [str(ledger.failure(call(number).key)) for number in (1, 2, 3)]
    assert words == ["None", "failure 2", "failure 3"]


KILLED = """
ledger = Ledger.open(Path(sys.argv[1]))

async def main():
    for n in range(300):
        await ledger.record(call(n), answer(n), cost_usd=None, attempts=1)

asyncio.run(main())
__import__("os")._exit(9)
"""


def killed(path: Path) -> Path:
    """The journal of a build that recorded 300 answers and was killed; it holds most of them."""
    process = start(KILLED, path)
    process.communicate(timeout=30)
    journal = path.with_name("ledger.sqlite-wal")
    assert process.returncode == 9 and journal.stat().st_size > 300_000
    return journal


def test_a_damaged_journal_is_an_error_before_sqlite_drops_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    journal = killed(path)
    main, content, frame = path.read_bytes(), journal.read_bytes(), 4096 + 24
    frames = range(32, len(content), frame)
    [*_, last] = (at for at in frames if content[at + 8 : at + 16] == content[16:24])
    places = {
        "the magic number": 3, "the page size": 10, "the salts": 17, "the header's checksum": 25,
        "a page's number": 32 + 3, "a frame's salts": 32 + 9, "a frame's checksum": 32 + 20,
        "a page": 32 + 24 + 1000, "in the middle": 32 + 40 * frame + 2000,
    }  # fmt: skip
    for name, at in places.items():
        path.write_bytes(main)
        journal.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        path.with_name("ledger.sqlite-shm").unlink(missing_ok=True)
        for _ in range(2):  # looking at it must not change it
            with pytest.raises(FolderError, match=r"damaged at its journal.* --repair"):
                Ledger.open(path, read_only=True)
        facts = repair(path, [TEACHER])
        assert facts and facts["answers"] == 300, name
        assert not journal.exists()
    for end, answers in ((last + 1000, 299), (last + frame, 300), (last + frame + 1000, 300)):
        # What was being written when the machine failed is no damage.
        path.write_bytes(main)
        journal.write_bytes(content[:end])
        with opened(path) as ledger:
            assert len(ledger) == answers


def test_what_a_kill_leaves_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    killed(path)
    assert repair(path, []) is None
    with opened(path) as ledger:
        assert len(ledger) == 300


def test_what_a_kill_left_in_the_journal_is_saved_with_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    journal = killed(path)
    overwritten(path, 1)
    with journal.open("r+b") as file:
        file.seek(60_000)  # SQLite reads no further than to here
        file.write(b"damage")
    facts = repair(path, [])
    assert facts and (facts["answers"], facts["lost"]) == (300, 0)
    assert path.with_name("ledger.sqlite.damaged-wal").exists()
    with opened(path) as ledger:
        assert [ledger.get(call(n).key) for n in range(300)] == [*map(answer, range(300))]


def changed(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@each(
    ("column", "value"),
    [
        ("teacher", "99"),
        ("time", "'z'"),
        ("time", "-1"),
        ("input_tokens", "'abc'"),
        ("input_tokens", "-5"),
        ("output_tokens", "2.5"),
        ("output_tokens", str(2**62)),
        ("most_tokens", str(2**62)),
        ("cost_usd", "'z'"),
        ("cost_usd", "9e999"),
        ("most_usd", "x'00'"),
        ("attempts", "-1"),
        ("hedged", "'many'"),
    ],
)
def test_an_answer_with_a_damaged_number_counts_as_none_until_it_is_asked_again(
    tmp_path: Path, whole: bytes, column: str, value: str
) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(whole)
    changed(path, f"UPDATE answers SET {column} = {value} WHERE id = 6")
    with opened(path) as ledger:
        assert ledger.get(call(5).key) is None and ledger.damaged == 1
        with pytest.raises(FolderError, match="damaged at answer 6"):
            [*ledger.answers([call(5).key])]
        with pytest.raises(FolderError, match="damaged at answer 6"):
            ledger.export(tmp_path / "answers.parquet")
        sums, used = ledger.summary(), ledger.used()
        if column != "hedged":  # which is in no sum
            assert (sums["calls"], sums["cost_usd"]) == (COUNT, 149.5)
            # The failure took 3 requests; the judge's answer 1.
            assert sorted(row["requests"] for row, _, _ in used) == [1, COUNT - 1 + 3]
    damaged = path.read_bytes()
    facts = repair(path, [])
    found_again = column == "teacher"  # by the call's key
    assert facts and facts["lost_exactly"]
    assert (facts["answers"], facts["lost"]) == (COUNT + found_again, 1 - found_again)
    assert repair(path, []) is None
    path.write_bytes(damaged)
    with opened(path) as ledger:
        assert ledger.get(call(5).key) is None
        record(ledger, (call(5), long(5)), cost_usd=0.5)
        assert ledger.summary()["cost_usd"] == 150.0
    assert repair(path, []) is None and readable(path) == [*range(COUNT)]


@each("change", ["teacher = 99", "message = x'00'", "status = 'x'", "most_usd = -1.0"])
def test_a_damaged_failure_is_no_failure(tmp_path: Path, whole: bytes, change: str) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(whole)
    changed(path, f"UPDATE failures SET {change}")
    with opened(path) as ledger:
        assert ledger.failure(call(-2).key) is None and not ledger.summary()["failures"]
    facts = repair(path, [])
    assert facts and (facts["answers"], facts["failures"], facts["lost"]) == (COUNT + 1, 0, 0)


@each("killed", [False, True])
def test_a_ledger_of_another_format_is_not_damaged(
    tmp_path: Path, whole: bytes, killed: bool
) -> None:
    path, copy = tmp_path / "ledger.sqlite", tmp_path / "copy" / "ledger.sqlite"
    path.write_bytes(whole)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 99")
        if killed:  # before anything was copied from the journal
            copy.parent.mkdir()
            for end in ("", "-wal"):
                content = path.with_name(path.name + end).read_bytes()
                copy.with_name(copy.name + end).write_bytes(content)
    path = copy if killed else path
    content = path.read_bytes()
    with pytest.raises(FolderError, match="is a ledger of format 99, this potstill reads"):
        repair(path, [])
    assert path.read_bytes() == content and not [*path.parent.glob("*.damaged")]


def test_a_folder_is_no_ledger_to_repair(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="is a folder, no potstill ledger; move it away"):
        repair(tmp_path, [])


@each(
    ("folder", "command"),
    [
        ("work/poems", "potstill ledger poems --repair"),
        ("work/poems/shards/001-of-002", "potstill ledger poems --repair"),
        ("else where/poems", "potstill ledger poems --repair --work '{}/else where'"),
        ("my.copy", "potstill ledger NAME --repair"),
    ],
)
def test_a_damaged_ledger_names_the_command_that_repairs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(folder, "ledger.sqlite")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no ledger" * 900)
    with pytest.raises(FolderError) as raised:
        Ledger.open(path)
    assert f"`{command.format(tmp_path)}`" in str(raised.value)


@each("content", [b"", b"SQLite format 3\0", bytes(50_000), random.Random(1).randbytes(90_000)])
def test_a_file_without_an_answer_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    with pytest.raises(FolderError, match="holds no answer that can be read"):
        repair(path, [])
    assert path.read_bytes() == content and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_damaged_what_is_saved_is_right(
    tmp_path: Path, whole: bytes, seed: int
) -> None:
    dice = random.Random(seed)
    content = bytearray(whole)
    for _ in range(dice.choice([1, 20, 400])):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    if repair(path, [TEACHER]):
        assert len(readable(path)) >= 50


def test_what_is_damaged_twice_is_kept_twice(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "ledger.sqlite"
    for name in ("ledger.sqlite.damaged", "ledger.sqlite.damaged-2"):
        path.write_bytes(whole)
        overwritten(path, 1)
        facts = repair(path, [])
        assert facts and facts["damaged"] == name
    assert len([*tmp_path.glob("*.damaged*")]) == 2


def test_a_full_disk_changes_nothing(tmp_path: Path, whole: bytes) -> None:
    with small_disk(tmp_path / "disk", "720k") as disk:
        path = disk / "ledger.sqlite"
        path.write_bytes(whole[:-PAGE])
        with pytest.raises(FolderError, match="no room left on its disk"):
            repair(path, [])
        assert path.read_bytes() == whole[:-PAGE] and [*disk.iterdir()] == [path]
