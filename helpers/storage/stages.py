"""What the notebooks leave for each other: which notebook makes what, and from what.

Each table and each checkpoint lives in a folder of its own. The folder's name is a fingerprint of
the settings that shape it and of what it was made from, so changed settings make a new one and
never mix with the old. An `index.json`, written last, vouches for the files with their checksums.
Its `edition` rises with every shard that takes the place of another, so sessions that share a
mirror know whose index is the later one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from helpers.storage.drive import Mirror, locked, matches, read_json, sha256, write_json

FORMAT = 1
"""Edition of the layout of `index.json`."""
INDEX = "index.json"
JOURNAL = "index.jsonl"
"""A line for each shard made since the index was written, where that is not done at once."""
LISTS = "lists"
"""Folder of the workspace for the published lists that manifests are made from."""


class MissingTable(RuntimeError):  # noqa: N818 (reads as the sentence it is)
    """A table or checkpoint is not there yet; the message names the notebook that makes it."""


class DamagedTable(RuntimeError):  # noqa: N818 (reads as the sentence it is)
    """A file does not match its checksum; the message names it and the notebook to run again."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """What makes a table or a checkpoint.

    Attributes:
        name: Of the table or checkpoint.
        notebook: The notebook that makes it.
        fields: Settings that shape it.
        inputs: What it is made from: `manifest` or other stages.
        edition: Raise it when the code of the stage makes something else from the same input.
    """

    name: str
    notebook: str
    fields: tuple[str, ...]
    inputs: tuple[str, ...]
    edition: int = 1


_TRAINING = ("mode", "seed", "batch_size")
_SPECTROGRAM = ("window", "hop", "fft_points", "power")
STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            "clips",
            "01_download",
            ("clip_seconds", "clip_rate", "allow_private_addresses"),
            ("manifest",),
        ),
        Stage("latents", "01_download", (), ("manifest",)),
        Stage("islander_faces", "helpers.pretrained.recipe", (), ()),
        Stage("islander_voices", "helpers.pretrained.recipe", (), ()),
        Stage("islander_registers", "helpers.pretrained.recipe", (), ()),
        Stage(
            "faces",
            "02_face_crop",
            ("frames_per_clip", "features", "detector"),
            ("clips",),
            edition=2,
        ),
        Stage("speech", "03_spectrogram", (), ("clips",)),
        Stage(
            "encoder",
            "04_voice_encoder",
            (*_TRAINING, *_SPECTROGRAM, "network", "loss", "encoder_epochs", "contrastive"),
            ("faces", "speech"),
        ),
        Stage(
            "decoder", "05_face_decoder", (*_TRAINING, "decoder_epochs", "gan_epochs"), ("faces",)
        ),
    )
}
"""Every table and checkpoint, by name."""


class Stored:
    """A folder of files with an index: what tables and checkpoints have in common."""

    def __init__(self, local: Path, mirror: Mirror, stage: Stage, identity: dict) -> None:
        self.stage = stage
        self.name = stage.name
        self.identity = identity
        text = json.dumps(identity, sort_keys=True)
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.folder = local / stage.name / self.fingerprint
        self.mirror = mirror

    @property
    def complete(self) -> bool:
        """All of it was made, here or on Drive."""
        return bool(self.index()["complete"])

    def index(self) -> dict:
        """Returns the index: the local one, and what the mirror knows beyond it."""
        here = self._here()
        return here if here["complete"] else _joined(here, self._there())

    def latest(self) -> dict:
        """Returns the index like `index`, after a look at the mirror also where ours is complete.

        Another session may have replaced shards, with rows that have come out better. Its edition
        of the index is then the higher one, and becomes ours.
        """
        here, there = self._here(), self._there()
        if not here["complete"]:
            return _joined(here, there)
        if not self._overtaken(here, there):
            return here
        self.adopt(there)
        return there

    def _here(self) -> dict:
        index = self._valid(read_json(self.folder / INDEX))
        if "identity" in index:  # Else the journal may be that of another table.
            index["files"] |= self._journal()
        return index

    def _there(self) -> dict:
        return self._valid(self.mirror.read_json(f"{self.address}/{INDEX}"))

    def _overtaken(self, here: dict, there: dict) -> bool:
        """Tells whether the mirror's index is to take the place of a complete one."""
        if _rank(there) <= _rank(here) or there.get("columns") != here.get("columns"):
            return False
        # Another session may drop the clips; those that are here stay until this one does.
        drops = _dropped(there) and not _dropped(here)
        return not (drops and all((self.folder / file).exists() for file in here["files"]))

    def _valid(self, index: dict | None) -> dict:
        if index is None or index.get("identity") != self.identity or "files" not in index:
            return {"complete": False, "files": {}}
        return index

    @property
    def address(self) -> str:
        """The folder in the mirror, such as `clips/0123456789abcdef`."""
        return f"{self.name}/{self.fingerprint}"

    def place_of(self, file: str, entry: Mapping) -> dict[str, str]:
        """Returns as plain data where the mirror has a file, and its sha256."""
        return {
            "stage": self.name,
            "root": self.mirror.where("").rstrip("/"),
            "name": copy_name(self.address, file, entry),
            "sha256": entry["sha256"],
        }

    def entry_of(self, file: str) -> dict:
        """Returns what the index says of a file: its size and sha256."""
        path = self.folder / file
        return {"size": path.stat().st_size, "sha256": sha256(path)}

    def ready(self, file: str, entry: Mapping) -> bool:
        """Tells whether the file is here and right, after a look at the mirror if need be."""
        path = self.folder / file
        if matches(path, entry["sha256"]):
            return True
        if self.mirror.fetch(copy_name(self.address, file, entry), path, entry["sha256"]):
            return True
        if path.exists():
            print(f"{file} of {self.name!r} is damaged: it does not match its checksum.")
        return False

    def write_index(self, files: dict[str, dict], complete: bool, **more: object) -> None:
        """Writes the local index."""
        self.adopt({"identity": self.identity, "complete": complete, **more, "files": files})

    def adopt(self, index: Mapping) -> None:
        """Makes an index the local one; it knows all that the journal says."""
        write_json(self.folder / INDEX, index)
        (self.folder / JOURNAL).unlink(missing_ok=True)

    def note(self, file: str, entry: Mapping) -> None:
        """Adds a file to the journal, which costs the same however many there are."""
        with (self.folder / JOURNAL).open("a", encoding="utf-8") as journal:
            journal.write(json.dumps({file: entry}) + "\n")
            journal.flush()
            os.fsync(journal.fileno())

    def _journal(self) -> dict[str, dict]:
        files = {}
        with contextlib.suppress(FileNotFoundError):
            for line in (self.folder / JOURNAL).read_bytes().splitlines():
                with contextlib.suppress(ValueError):  # The last line may not be whole.
                    files |= json.loads(line)
        return files

    def publish(self, files: Mapping[str, dict], fresh: bool) -> bool:
        """Brings the mirror up to date: the files first, the index that vouches for them last.

        Args:
            files: What the local index says of them.
            fresh: They are new, so that there is no need to look for them.

        Returns:
            As `publish_index`.
        """
        if not self.mirror.available:
            return False
        there = self._there()
        if _rank(there) > _rank(self._here()):
            return False
        for file, entry in files.items():
            known = there["files"].get(file) == entry and not fresh
            copy = copy_name(self.address, file, entry)
            if not (known and self.mirror.holds(copy, entry["size"])):
                self.mirror.publish(self.folder / file, copy)
        return self.publish_index(there)

    def publish_index(self, there: dict | None = None) -> bool:
        """Copies the local index to the mirror, unless another session has come further there.

        Args:
            there: The index of the mirror where it is known already.

        Returns:
            Whether the mirror's index is the local one now, and names no other copies.
        """
        if there is None:
            there = self._there()
        here = read_json(self.folder / INDEX)
        if here is None or _rank(here) < _rank(there):
            return False
        return here == there or self.mirror.publish(self.folder / INDEX, f"{self.address}/{INDEX}")


class Checkpoints(Stored):
    """The files that a training leaves behind. Get it from `Workspace.checkpoints`.

    Attributes:
        name: `encoder` or `decoder`.
        folder: Where the files are.
        fingerprint: Of the settings and inputs, 16 hexadecimal digits.
    """

    @property
    def complete(self) -> bool:
        """The training came to its end and every file matches its checksum."""
        index = self.index()
        if not index["complete"]:
            return False
        if not all(self.ready(file, entry) for file, entry in index["files"].items()):
            return False
        if read_json(self.folder / INDEX) != index:
            self.adopt(index)
        return True

    @property
    def metadata(self) -> dict:
        """What `finish` was given beside the files; empty before."""
        return self.index().get("metadata", {})

    def path(self, file: str) -> Path:
        """Returns where a file of that name belongs; makes the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / file

    def finish(self, files: Sequence[str], metadata: dict) -> None:
        """Declares the training complete, notes the checksums and publishes to Drive.

        Args:
            files: Names of files in `folder` that belong to the result.
            metadata: Anything JSON can hold, such as the curves.

        Raises:
            FileNotFoundError: One of the files is not there.
        """
        with locked(self.folder, f"the checkpoint {self.name!r}"):
            entries = {file: self.entry_of(file) for file in files}
            self.write_index(entries, True, metadata=metadata)
            self.publish(entries, fresh=True)

    def require(self) -> Checkpoints:
        """Returns itself when complete.

        Raises:
            MissingTable: The training has not come to its end; names the notebook.
        """
        if not self.complete:
            raise missing(self.stage, "checkpoint")
        return self


def copy_name(address: str, file: str, entry: Mapping) -> str:
    """Returns the name of a file in the mirror: `clips/0123456789abcdef/00000-89abcdef.parquet`.

    Copies with other contents have other names, so two sessions that write into one folder never
    replace each other's files, and each index finds those that it vouches for.

    Args:
        address: See `Stored.address`.
        file: Its name here.
        entry: What the index says of it.
    """
    stem, dot, ending = file.rpartition(".")
    return f"{address}/{stem}-{entry['sha256'][:8]}{dot}{ending}"


def _rank(index: Mapping) -> tuple[bool, int]:
    # Older versions of the series have written no edition.
    return index["complete"], index.get("edition", 0)


def _joined(here: dict, there: dict) -> dict:
    """Returns what two indexes know together; of a shard in both, the one of higher edition."""
    if there["complete"]:
        return there
    older, newer = sorted((there, here), key=_rank)
    return {**older, **newer, "files": {**older["files"], **newer["files"]}}


def _dropped(index: Mapping) -> bool:
    return any("whole" in entry for entry in index["files"].values())


def late(source: Mapping, entry: Mapping) -> list[str]:
    """Returns the clips that a shard still has to take over from the shard it is made from.

    A clip comes late when its row is tried again with success after the other videos of its shard
    were dropped: what was made from these cannot be made anew, so the clip is added to it.

    Args:
        source: What the index says of the shard it is made from.
        entry: What the index says of it.
    """
    return [clip for clip in source.get("late", ()) if clip not in entry.get("late", ())]


def damaged(stage: Stage, file: object) -> DamagedTable:
    """Returns the error that names a damaged shard and the notebook that remakes it.

    Args:
        stage: What makes the table.
        file: The shard.
    """
    return DamagedTable(
        f"The table {stage.name!r} is damaged: {file} does not match its checksum. Run notebook "
        f"{stage.notebook} again (same settings): it remakes this shard and keeps the others."
    )


def missing(stage: Stage, kind: str = "table") -> MissingTable:
    """Returns the error that names the notebook to run.

    Args:
        stage: What makes the missing thing.
        kind: `table` or `checkpoint`.
    """
    from helpers.session import in_colab

    text = (
        f"The {kind} {stage.name!r} is not there yet. "
        f"Run notebook {stage.notebook} first (same settings)."
    )
    if in_colab():
        text += " Set USE_DRIVE there and here: each notebook may have a machine of its own."
    return MissingTable(text)
