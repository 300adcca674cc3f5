"""Rows of a corpus: what a manifest says, what it must not say, and who is in which split."""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from helpers.archipelago.islanders import ISLANDS, islander
from helpers.rows import COLUMNS, ManifestError, Row, check_names, validate
from helpers.settings import FIRST_TEST_ISLANDER, Settings

__all__ = [
    "Manifest",
    "ManifestError",
    "Row",
    "archipelago",
    "from_folder",
    "load",
    "read_csv",
    "split_of",
    "validate",
    "write_csv",
]

FOLDER = Path(__file__).resolve().parents[1] / "data_manifest"
"""One CSV or recipe per corpus, a data card each, and the schema."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The rows of a corpus, checked.

    Attributes:
        rows: In the order in which they are fetched.
    """

    rows: tuple[Row, ...]

    @functools.cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that differ when the clips differ.

        A file counts by what is in it, not by where it lies, so a replaced video makes new tables
        and a moved folder does not.
        """
        digest = hashlib.sha256()
        for row in self.rows:
            values = dataclasses.asdict(row)
            if row.source == "file":
                values["locator"] = _file_digest(Path(row.locator).expanduser())
            digest.update(json.dumps(values, sort_keys=True).encode() + b"\n")
        return digest.hexdigest()[:16]

    def speakers(self, split: str | None = None) -> list[str]:
        """Returns the speakers of a split, or all, in the order of their first row."""
        return list(dict.fromkeys(r.speaker_id for r in self.rows if split in (None, r.split)))

    def select(self, **values: object) -> Manifest:
        """Returns the rows that have these values, such as `select(split="test", sex="F")`."""
        unknown = [name for name in values if name not in COLUMNS]
        if unknown:
            raise ValueError(f"There is no column {unknown[0]!r}; columns: {', '.join(COLUMNS)}.")
        return Manifest(
            tuple(r for r in self.rows if all(getattr(r, n) == v for n, v in values.items()))
        )

    def at_most(self, count: int) -> Manifest:
        """Returns at most so many rows, taken evenly from beginning to end; 0 takes all."""
        return Manifest(tuple(_thinned(self.rows, count)))


def load(settings: Settings) -> Manifest:
    """Returns the manifest that the settings ask for.

    Args:
        settings: `corpus`, `mode`, `videos`, `manifest` and `rows` matter.

    Raises:
        ManifestError: The folder or file is missing or empty, or a row is not valid.
    """
    if settings.corpus == "my_videos":
        manifest = from_folder(Path(settings.videos))
    elif settings.corpus == "manifest":
        manifest = read_csv(Path(settings.manifest))
    else:
        manifest = archipelago(settings)
    return manifest.at_most(settings.rows)


def split_of(speaker_id: str) -> str:
    """Returns the split of a speaker: 80, 10 and 10 % of all speakers, by a hash of the name.

    The same speaker is always in the same split, whatever corpus or rows are beside it.
    """
    place = int.from_bytes(hashlib.sha256(speaker_id.encode()).digest()[:8], "big") % 10
    return {8: "validation", 9: "test"}.get(place, "train")


def read_csv(path: Path) -> Manifest:
    """Reads and checks a manifest.

    Args:
        path: CSV with a line of column names, UTF-8. A relative path in `locator` starts from the
            folder of this file.

    Raises:
        ManifestError: It cannot be read, or a row is not valid; names line and column.
    """
    path = Path(path).expanduser()
    lines: list[tuple[int, list[str]]] = []
    begin = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for values in reader:
                lines += [(begin, values)] if values else []
                begin = reader.line_num + 1  # A quoted value may go over several lines.
    except FileNotFoundError:
        raise ManifestError(f"There is no manifest {path}.") from None
    except UnicodeDecodeError:
        line = _first_odd_line(path.read_bytes())
        raise ManifestError(
            f"{path.name}, line {line}: it is not UTF-8. Save the file as CSV in UTF-8."
        ) from None
    except (OSError, csv.Error) as error:
        raise ManifestError(f"{path.name} cannot be read as CSV in UTF-8: {error}.") from error
    if not lines:
        raise ManifestError(f"{path.name}, line 1: the file is empty; it should name the columns.")
    names = [name.strip() for name in lines[0][1]]
    if len(names) == 1 and (other := next((c for c in ";\t|" if c in names[0]), "")):
        raise ManifestError(
            f"{path.name}, line 1: the columns are separated by {other!r}; separate them by ','."
        )
    check_names(names, path.name)
    for line, values in lines[1:]:
        if len(values) != len(names):
            raise ManifestError(
                f"{path.name}, line {line}: {len(values)} values for {len(names)} columns."
            )
    raw = [dict(zip(names, (v.strip() for v in values), strict=True)) for _, values in lines[1:]]
    rows = validate(raw, path.name, [line for line, _ in lines[1:]])
    here = path.resolve().parent
    return Manifest(
        tuple(
            dataclasses.replace(row, locator=str(here / Path(row.locator).expanduser()))
            if row.source == "file"
            else row
            for row in rows
        )
    )


def _first_odd_line(content: bytes) -> int:
    """Returns the number of the first line that is not UTF-8."""
    for number, line in enumerate(content.split(b"\n"), 1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return number
    return 1


def write_csv(manifest: Manifest, path: Path) -> None:
    """Writes a manifest that `read_csv` reads back as the same rows."""
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in manifest.rows:
            writer.writerow("" if v is None else v for v in dataclasses.astuple(row))


def from_folder(folder: Path) -> Manifest:
    """Makes rows from a folder of videos, after the rule in `data_manifest/my_videos.toml`.

    Each file is a speaker of its own; in a sub-folder all files are of the speaker that it is named
    after. Every file becomes a row, also one that is no video: notebook 01 says why it cannot be
    used. Hidden files are left out.

    Args:
        folder: The folder.

    Raises:
        ManifestError: There is no such folder, or nothing in it.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise ManifestError(
            f"There is no folder {folder}. Set videos to the folder of your videos."
        )
    files = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        files += [(path, p) for p in inside if p.is_file() and not p.name.startswith(".")]
    if not files:
        raise ManifestError(f"There are no files in {folder}. Put your videos there.")
    taken: set[str] = set()
    people = {
        top: _identifier(top.stem if top.is_file() else top.name, top.name) for top, _ in files
    }
    if len(set(people.values())) < len(people):  # anna.mp4 beside anna.webm or the folder anna
        people = {top: _identifier(top.name, top.name) for top in people}
    small = len(people) < speakers_to_split()
    rows = []
    for top, path in files:
        relative = str(path.relative_to(folder))
        clip_id = _identifier(str(path.relative_to(folder).with_suffix("")), relative)
        if clip_id in taken:
            clip_id = _identifier(relative, relative)
        taken.add(clip_id)
        speaker = people[top]
        split = "test" if small else split_of(speaker)
        locator = str(path.resolve())
        rows.append(
            Row(clip_id, "my_videos", "file", locator, 0.0, None, None, None, speaker, split)
        )
    return Manifest(tuple(validate(rows, str(folder))))


def archipelago(settings: Settings) -> Manifest:
    """Makes the rows of the embedded corpus, after `data_manifest/archipelago.toml`.

    Args:
        settings: `mode` and `rows` say how many.
    """
    recipe = _recipe("archipelago")[settings.mode]
    clips = []
    for place, number in enumerate(_numbers("train", recipe["training_islanders"])):
        clips += [f"{number}/{clip}" for clip in range(recipe["clips_each"])]
        fault, rest = divmod(place, recipe["broken_every"])
        if not rest and fault < len(recipe["broken"]):
            clips.append(f"{number}/{recipe['clips_each']}/{recipe['broken'][fault]}")
    clips += [f"{number}/0" for number in _numbers("validation", recipe["validation_islanders"])]
    clips += [f"{FIRST_TEST_ISLANDER + n}/0" for n in range(recipe["test_islanders"])]
    rows = [_archipelago_row(locator) for locator in _thinned(clips, settings.rows)]
    return Manifest(tuple(validate(rows, "archipelago")))


def _archipelago_row(locator: str) -> Row:
    from helpers.archipelago.clips import face_position
    from helpers.archipelago.sentences import VOICES

    number, clip = (int(part) for part in locator.split("/")[:2])
    person = islander(number)
    # Two digits are a few pixels, and the same on every machine; more would not be, and would
    # make other tables there.
    face_x, face_y = (round(min(max(place, 0.0), 1.0), 2) for place in face_position(locator))
    return Row(
        clip_id=f"islander-{number}-clip-{clip}",
        corpus="archipelago",
        source="archipelago",
        locator=locator,
        start_s=0.0,
        end_s=None,
        face_x=face_x,
        face_y=face_y,
        speaker_id=f"islander-{number}",
        split=person.split,
        sex=person.sex,
        age=person.age,
        group=ISLANDS[person.island],
        language=VOICES[person.island][person.language],
    )


def _thinned(items: Sequence, count: int) -> Sequence:
    """Takes at most so many, evenly from beginning to end; 0 takes all."""
    if not 0 < count < len(items):
        return items
    return [items[number * len(items) // count] for number in range(count)]


def _numbers(split: str, count: int) -> Iterator[int]:
    number = 0
    while count:
        if islander(number).split == split:
            yield number
            count -= 1
        number += 1


def speakers_to_split() -> int:
    """Returns how many people a folder of videos needs for some of them to be trained with."""
    return _recipe("my_videos")["speakers_for_training"]


def _recipe(corpus: str) -> dict:
    return tomllib.loads((FOLDER / f"{corpus}.toml").read_text(encoding="utf-8"))


def _identifier(text: str, original: str) -> str:
    """Makes an identifier from a file name; a changed one gets digits that keep it unique."""
    plain = re.sub(r"\.\.+", ".", re.sub(r"[^A-Za-z0-9_.-]+", "-", text)).strip("-.")[:80]
    if plain == text:
        return plain
    return f"{plain or 'clip'}-{hashlib.sha256(original.encode()).hexdigest()[:6]}"


def _file_digest(path: Path) -> str:
    """Returns a digest of a file's size, beginning and end: quick also for long videos."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            digest = hashlib.sha256(file.read(65536))
            file.seek(max(0, size - 65536))
            digest.update(file.read(65536))
    except OSError:
        return "gone"
    return f"{size}-{digest.hexdigest()}"
