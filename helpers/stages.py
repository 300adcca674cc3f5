"""What the notebooks leave for each other: which notebook makes what, and from what.

Each table and each checkpoint lives in a folder of its own. The folder's name is a fingerprint of
the settings that shape it and of what it was made from, so changed settings make a new one and
never mix with the old. An `index.json`, written last, vouches for the files with their checksums.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from helpers.drive import Mirror, locked, matches, read_json, sha256, write_json

FORMAT = 1
"""Edition of the layout of `index.json`."""
INDEX = "index.json"


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
STAGES = {
    stage.name: stage
    for stage in (
        Stage("clips", "01_download", (), ("manifest",)),
        Stage("latents", "01_download", (), ("manifest",)),
        Stage("islander_faces", "helpers.pretrained.recipe", (), ()),
        Stage("islander_voices", "helpers.pretrained.recipe", (), ()),
        Stage("islander_registers", "helpers.pretrained.recipe", (), ()),
        Stage("faces", "02_face_crop", ("frames_per_clip", "features"), ("clips",), edition=2),
        Stage("speech", "03_spectrogram", (), ("clips",)),
        Stage(
            "encoder",
            "04_voice_encoder",
            (*_TRAINING, "network", "loss", "encoder_epochs", "contrastive"),
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
        self._mirror = mirror

    @property
    def complete(self) -> bool:
        """All of it was made, here or on Drive."""
        return bool(self._index()["complete"])

    def _index(self) -> dict:
        """Returns the index: the local one, and what Drive knows beyond it."""
        here = self._valid(read_json(self.folder / INDEX))
        if here["complete"]:
            return here
        there = self._valid(self._mirror.read_json(self._remote(INDEX)))
        if there["complete"]:
            return there
        return {**there, **here, "files": {**there["files"], **here["files"]}}

    def _valid(self, index: dict | None) -> dict:
        if index is None or index.get("identity") != self.identity or "files" not in index:
            return {"complete": False, "files": {}}
        return index

    def _remote(self, file: str) -> str:
        return f"{self.name}/{self.fingerprint}/{file}"

    def _entry(self, file: str) -> dict:
        path = self.folder / file
        return {"size": path.stat().st_size, "sha256": sha256(path)}

    def _ready(self, file: str, entry: dict) -> bool:
        """Tells whether the file is here and right, after a look at Drive if need be."""
        path = self.folder / file
        if matches(path, entry["sha256"]):
            return True
        if path.exists():
            print(f"{file} of {self.name!r} is damaged: it does not match its checksum.")
        return self._mirror.fetch(self._remote(file), path, entry["sha256"])

    def _write_index(self, files: dict[str, dict], complete: bool, **more: object) -> None:
        index = {"identity": self.identity, "complete": complete, **more, "files": files}
        write_json(self.folder / INDEX, index)

    def _publish(self, files: Mapping[str, dict], fresh: bool) -> None:
        """Brings Drive up to date: the files first, the index that vouches for them last."""
        if not self._mirror.available:
            return
        there = self._valid(self._mirror.read_json(self._remote(INDEX)))
        for file, entry in files.items():
            known = there["files"].get(file) == entry and not fresh
            if not (known and self._mirror.holds(self._remote(file), entry["size"])):
                self._mirror.publish(self.folder / file, self._remote(file))
        if read_json(self.folder / INDEX) != there:
            self._mirror.publish(self.folder / INDEX, self._remote(INDEX))


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
        index = self._index()
        if not index["complete"]:
            return False
        if not all(self._ready(file, entry) for file, entry in index["files"].items()):
            return False
        if read_json(self.folder / INDEX) != index:
            write_json(self.folder / INDEX, index)
        return True

    @property
    def metadata(self) -> dict:
        """What `finish` was given beside the files; empty before."""
        return self._index().get("metadata", {})

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
            entries = {file: self._entry(file) for file in files}
            self._write_index(entries, True, metadata=metadata)
            self._publish(entries, fresh=True)

    def require(self) -> Checkpoints:
        """Returns itself when complete.

        Raises:
            MissingTable: The training has not come to its end; names the notebook.
        """
        if not self.complete:
            raise missing(self.stage, "checkpoint")
        return self


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
