"""One row of a manifest: its columns, and what they must not say."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from helpers.downloading.addresses import is_public
from helpers.settings import FIRST_TEST_ISLANDER

SOURCES = ("archipelago", "youtube", "page", "https", "zip", "file")
SPLITS = ("train", "validation", "test")
FAULTS = ("no_face", "no_sound", "truncated", "gone", "silent")
"""What can be broken on purpose in a clip of the Archipelago."""
_SHOWN_PROBLEMS = 5
_LONGEST_TEXT = 100
_LONGEST_ADDRESS = 2000
_INSIDE = ("localhost", "local", "internal", "lan", "home", "corp", "intranet", "localdomain")
"""Last parts of names that only the own network knows."""


class ManifestError(ValueError):
    """A manifest is refused; the message names line and column."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One clip that should be fetched.

    Attributes:
        clip_id: Names the clip; up to 100 letters, digits, `_`, `.`, `-`.
        corpus: Name of the corpus.
        source: Where it comes from: `archipelago`, `youtube`, `page`, `https`, `zip` or `file`.
        locator: What is asked for there: `NUMBER/CLIP` with an optional `/FAULT`, an eleven-letter
            video id, an address, the address of a zip archive with `#` and the name of a member,
            or a path.
        start_s: Where the clip begins, in seconds.
        end_s: Where it ends, in seconds; None means the end of the source.
        face_x: Where the speaker's face is, 0 (left) to 1 (right); None where unknown.
        face_y: 0 (top) to 1 (bottom); None where unknown.
        speaker_id: Who speaks; same characters as `clip_id`.
        split: `train`, `validation` or `test`: the same in all rows of a speaker.
        sex: `F`, `M` or empty.
        age: Years, or None.
        group: Any group that results should be told apart by, or empty.
        language: Language or accent, or empty.
    """

    clip_id: str
    corpus: str
    source: str
    locator: str
    start_s: float
    end_s: float | None
    face_x: float | None
    face_y: float | None
    speaker_id: str
    split: str
    sex: str = ""
    age: float | None = None
    group: str = ""
    language: str = ""


WHOLE: dict[str, float | None] = {"start_s": 0.0, "end_s": None, "face_x": None, "face_y": None}
"""What a row says that takes the whole of its source, where nobody knows the place of the face."""
COLUMNS = tuple(field.name for field in dataclasses.fields(Row))
REQUIRED = tuple(
    field.name for field in dataclasses.fields(Row) if field.default is dataclasses.MISSING
)


def check_names(names: list[str], file: str) -> None:
    """Checks the line of column names.

    Args:
        names: The names.
        file: Name of the manifest, for the message.

    Raises:
        ManifestError: A column is missing, there twice or misspelt.
    """
    for name in REQUIRED:
        if name not in names:
            raise ManifestError(
                f"{file}, line 1: the column {name} is missing; needed: {', '.join(REQUIRED)}."
            )
    for name in names:
        if names.count(name) > 1:
            raise ManifestError(f"{file}, line 1, column {name}: it is there twice.")
        near = difflib.get_close_matches(name.lower(), set(COLUMNS) - set(names), 1)
        if name not in COLUMNS and near:
            raise ManifestError(f"{file}, line 1, column {name}: did you mean {near[0]}?")


def validate(
    rows: Sequence[Row | Mapping[str, object]],
    name: str,
    lines: Sequence[int] | None = None,
    allowed: Iterable[str] = SOURCES,
    private: bool = True,
    own: bool = False,
    shown: int = _SHOWN_PROBLEMS,
) -> list[Row]:
    """Checks rows, one by one and all together.

    Args:
        rows: `Row` objects, or mappings from column to value or text.
        name: Of the manifest, for the message.
        lines: The line that each row comes from; None counts from 2, below the column names.
        allowed: Sources that rows may have; a manifest from elsewhere may not name files here.
        private: Whether rows may lead to this machine and its own network.
        own: The paths come from this machine's own list of files, so any name will do, also one
            that is not UTF-8.
        shown: How many problems to name.

    Returns:
        The rows with numbers as numbers. Nobody is in two splits, not even under two names.

    Raises:
        ManifestError: Names line, column and cause of the first few problems.
    """
    lines = range(2, len(rows) + 2) if lines is None else lines
    problems: list[str] = []
    checked: list[Row] = []
    seen: dict[str, int] = {}
    splits: dict[str, tuple[str, int]] = {}
    used: dict[tuple[str, str], list[tuple[Row, int]]] = {}
    for line, raw in zip(lines, rows, strict=True):
        values = dataclasses.asdict(raw) if isinstance(raw, Row) else dict(raw)
        found = list(_problems(values, own))
        found += [] if found else list(_forbidden(values, allowed, private))
        clip, speaker, split = (str(values.get(n, "")) for n in ("clip_id", "speaker_id", "split"))
        if seen.setdefault(clip, line) != line:
            found.append(("clip_id", f"{clip!r} is there already in line {seen[clip]}"))
        first, first_line = splits.setdefault(speaker, (split, line))
        if first != split:
            where = f"speaker {speaker!r} is in {first!r} in line {first_line}"
            found.append(("split", f"{where}, here in {split!r}; a speaker has one split"))
        if not found:
            row = _row(values)
            checked.append(row)
            found += _leaks(row, line, used)
        problems += [f"{name}, line {line}, column {column}: {text}." for column, text in found]
    if not rows:
        problems.append(f"{name}, line 2: there are no rows.")
    if problems:
        more = len(problems) - shown
        tail = [f"... and {more:,} more."] if more > 0 else []
        raise ManifestError("\n".join([*problems[:shown], *tail]))
    return checked


def _problems(values: Mapping[str, object], own: bool) -> Iterator[tuple[str, str]]:
    """Yields (column, what is wrong) for one row."""
    for column in REQUIRED:
        if column not in values:
            yield column, "it is missing"
            return
    for column in ("clip_id", "speaker_id", "corpus"):
        if text := _bad_identifier(str(values[column])):
            yield column, text
    for column, choices in (("source", SOURCES), ("split", SPLITS)):
        if values[column] not in choices:
            yield column, f"{values[column]!r} is not one of {', '.join(choices)}"
    if str(values.get("sex") or "").upper() not in ("", "F", "M"):
        yield "sex", f"{values['sex']!r} is not F, M or empty"
    for column in ("group", "language"):
        text = str(values.get(column) or "")
        if len(text) > _LONGEST_TEXT or not text.isprintable():
            yield column, f"{text[:40]!r} should be at most {_LONGEST_TEXT} printable characters"
    if not own:
        yield from _bad_locator(values)
    yield from _bad_times(values)
    for column, most in (("face_x", 1), ("face_y", 1), ("age", 130)):
        number = _number(values.get(column))
        if number is not None and not 0 <= number <= most:
            yield column, f"{values[column]!r} is not a number from 0 to {most}"
    if (_number(values["face_x"]) is None) != (_number(values["face_y"]) is None):
        yield "face_y", "give face_x and face_y both or neither"


def _forbidden(
    values: Mapping[str, object], allowed: Iterable[str], private: bool
) -> Iterator[tuple[str, str]]:
    """Yields what a manifest may not ask for although it is well formed."""
    source, locator = str(values["source"]), str(values["locator"])
    if source not in allowed:
        yield "source", f"{source!r} is refused in a manifest from elsewhere"
    if source in ("https", "page", "zip") and not private and leads_inside(locator):
        yield (
            "locator",
            f"{locator[:80]!r} leads to this machine or its own network, which is refused "
            "unless allow_private_addresses is set",
        )


def leads_inside(address: str) -> bool:
    """Tells whether an address names this machine or its own network, or hides that it does.

    Names are not looked up here; `helpers.downloading.web` looks again at what they lead to.

    Args:
        address: Such as `https://example.org/a.mp4`.
    """
    try:
        host = (urllib.parse.urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return True
    try:
        return not is_public(host)
    except ValueError:
        last = host.rsplit(".", 1)[-1]
    # 127.1, 2130706433 and 0x7f000001 are all 127.0.0.1 to a careless resolver.
    odd = re.fullmatch(r"\d+|0x[0-9a-f]*", last)
    return "." not in host or last in _INSIDE or odd is not None


def _leaks(
    row: Row, line: int, used: dict[tuple[str, str], list[tuple[Row, int]]]
) -> Iterator[tuple[str, str]]:
    """Yields where one person would be in two splits under two names; adds the row to `used`.

    All clips of an islander are one person; elsewhere it is whoever is in the same piece of the
    same source.
    """
    islander = row.source == "archipelago"
    person = (row.source, str(int(row.locator.split("/")[0])) if islander else row.locator)
    end = math.inf if row.end_s is None else row.end_s
    earlier = used.setdefault(person, [])
    for other, other_line in earlier:
        other_end = math.inf if other.end_s is None else other.end_s
        together = islander or (row.start_s < other_end and other.start_s < end)
        if together and row.split != other.split:
            what = f"islander {person[1]}" if islander else "this piece of the source"
            where = f"in {other.split!r} as speaker {other.speaker_id!r} in line {other_line}"
            yield "split", f"{what} is {where}, here in {row.split!r}; a person has one split"
            break
    earlier.append((row, line))


def _bad_identifier(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", text):
        return f"{text[:120]!r} should be 1 to 100 of the characters A-Z a-z 0-9 _ . -"
    if ".." in text or text[0] in ".-":
        return f"{text!r} should not contain '..' or begin with '.' or '-'"
    return ""


def _is_web(locator: str) -> bool:
    """An address in plain ASCII, without a user's name that could pass for the host."""
    if not re.fullmatch(rf"[!$-;=?-~]{{1,{_LONGEST_ADDRESS}}}", locator):
        return False
    try:
        parts = urllib.parse.urlsplit(locator)
    except ValueError:
        return False
    near = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    return bool(parts.hostname) and "@" not in parts.netloc and (parts.scheme == "https" or near)


def _is_member(locator: str) -> bool:
    archive, _, member = locator.partition("#")
    return _is_web(archive) and locator.isascii() and not bad_member(urllib.parse.unquote(member))


def bad_member(name: str) -> str:
    """Says what is wrong with the name of a member of an archive; empty where nothing is.

    Args:
        name: As the archive or a manifest gives it.
    """
    parts = name.replace("\\", "/").split("/")
    if not name or not name.isprintable() or len(name) > 300:
        return "it should be 1 to 300 printable characters"
    if parts[0] == "" or ":" in parts[0]:
        return "it is absolute"
    if ".." in parts:
        return "it climbs out of its folder"
    return ""


def _is_path(locator: str) -> bool:
    parts = locator.replace("\\", "/").split("/")
    home = parts[0].startswith("~") and parts[0] != "~"  # of somebody else
    if not locator.isprintable() or ".." in parts or home:
        return False
    return max(len(part.encode()) for part in parts) < 256


_LOCATORS: dict[str, tuple[Callable[[str], object], str]] = {
    "archipelago": (
        re.compile(rf"[0-9]{{1,9}}/[0-9]{{1,4}}(/({'|'.join(FAULTS)}))?").fullmatch,
        f"NUMBER/CLIP or NUMBER/CLIP/FAULT with a fault of {', '.join(FAULTS)}",
    ),
    "youtube": (re.compile(r"[A-Za-z0-9_-]{11}").fullmatch, "a video id of eleven characters"),
    "page": (_is_web, "the address of a page with one video, beginning with https://"),
    "https": (_is_web, "an address that begins with https://"),
    "zip": (_is_member, "https://ADDRESS-OF-AN-ARCHIVE#NAME-IN-IT, and the name stays in there"),
    "file": (_is_path, "a path of plain names, without '..' and control characters"),
}


def _bad_locator(values: Mapping[str, object]) -> Iterable[tuple[str, str]]:
    locator, source = str(values["locator"] or ""), str(values["source"])
    accepts, wanted = _LOCATORS.get(source, (str, ""))
    if not locator:
        yield "locator", f"it is empty; it should be {wanted or 'what is asked for at the source'}"
    elif not accepts(locator):
        yield "locator", f"{locator[:120]!r} is not {wanted}"
    elif source == "archipelago":
        testing = int(locator.split("/")[0]) >= FIRST_TEST_ISLANDER
        if testing != (values["split"] == "test"):
            limit = f"{FIRST_TEST_ISLANDER:,}"
            yield "split", f"islanders from {limit} on are in 'test', and no others"


def _bad_times(values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    start, end = _number(values["start_s"]), _number(values["end_s"])
    for column, number in (("start_s", start), ("end_s", end)):
        if number is not None and not 0 <= number < math.inf:
            yield column, f"{values[column]!r} is not a time in seconds"
            return
    if end is not None and end <= (start or 0.0):
        yield "end_s", f"the clip ends at {end:g} s, not after its start at {start or 0.0:g} s"


def _number(value: object) -> float | None:
    """Returns a number; None for nothing, NaN for anything that is not a number."""
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _row(values: Mapping[str, object]) -> Row:
    known = {name: values[name] for name in COLUMNS if name in values}
    for name in ("start_s", "end_s", "face_x", "face_y", "age"):
        known[name] = _number(known.get(name))
    known["start_s"] = known["start_s"] or 0.0
    known["sex"] = str(known.get("sex") or "").upper()
    return Row(**known)
