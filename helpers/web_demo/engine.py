"""What all visitors share: the released networks, loaded once while the page is already there."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Mapping, Sequence

import numpy as np

from helpers import demo
from helpers.face_features import ISLANDER_FEATURES, PRETRAINED
from helpers.settings import SPEECH_SAMPLES
from helpers.web_demo import voice_measures

_LOAD_SECONDS = 300.0


class Engine:
    """Makes faces from voices, for one visitor after the other.

    The networks are loaded by a thread of their own. Whoever asks before they are there waits.
    Each use takes all cores for some hundredths of a second, so nobody gains from two at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded = threading.Event()
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begins to load the networks, and returns at once."""
        threading.Thread(target=self._load, name="load-networks", daemon=True).start()

    def wait(self) -> None:
        """Waits until the networks are there.

        Raises:
            RuntimeError: They could not be loaded.
        """
        if not self._loaded.wait(_LOAD_SECONDS):
            raise RuntimeError(f"The networks did not load within {_LOAD_SECONDS:.0f} seconds.")
        if self._error is not None:
            raise RuntimeError(f"The networks could not be loaded: {self._error}")

    def faces(
        self, voices: Sequence[np.ndarray], looked_at: int | None = None
    ) -> list[demo.Reconstruction]:
        """Makes faces from voices; see `demo.reconstruct_voices`."""
        self.wait()
        with self._lock:
            return demo.reconstruct_voices(voices, looked_at=looked_at)

    def features(self, waveforms: np.ndarray) -> np.ndarray:
        """Predicts the face feature of each waveform, float32 (n, 128)."""
        self.wait()
        with self._lock:
            return demo.predict(demo.released_models()[0], waveforms)

    def feature_of(self, portrait: np.ndarray) -> np.ndarray:
        """Describes a portrait as `archipelago.portraits` paints it, (128,)."""
        from helpers import face_features

        self.wait()
        with self._lock:
            return face_features.describe(portrait, _PORTRAIT_BOX * len(portrait))

    def centre(self) -> np.ndarray:
        """Returns the mean face feature of the people that the encoder was trained on, (128,)."""
        self.wait()
        return demo.centre(demo.released_models()[0])

    def _load(self) -> None:
        from helpers import session

        try:
            session.load_tensorflow()
            # The first face takes seconds, because everything is built on first use.
            # A second length, and a second number of faces, are traced once more.
            silence = np.zeros(SPEECH_SAMPLES, np.float32)
            demo.reconstruct_voices([silence])
            demo.reconstruct_voices([silence[:-1], silence], looked_at=0)
            islander_features()
            voice_measures.measure(np.sin(np.arange(SPEECH_SAMPLES) / 10).astype(np.float32))
        except BaseException as error:  # noqa: B036 - whoever waits has to hear of it
            self._error = error
        self._loaded.set()


_PORTRAIT_BOX = np.array([0.291, 0.253, 0.391, 0.552])
"""Where MTCNN finds the face of a frontal portrait: x, y, width, height as shares of its side. The
mean of 24 islanders; features made with it are 0.06 from those made with the detected box, while
two islanders are 0.5 apart."""


@functools.cache
def islander_features() -> tuple[np.ndarray, np.ndarray]:
    """Returns numbers, (n,), and mean face features, (n, 128), of the islanders trained on."""
    import pyarrow.parquet as pq

    table = pq.read_table(ISLANDER_FEATURES, columns=["number", "split", "feature"])
    table = table.filter([split == "train" for split in table["split"].to_pylist()])
    features = np.stack(table["feature"].to_numpy(zero_copy_only=False)).astype(np.float32)
    return table["number"].to_numpy(), features


@functools.cache
def measured() -> Mapping:
    """Returns what `python -m helpers evaluate` measured of the released networks."""
    return json.loads((PRETRAINED / "results.json").read_text(encoding="utf-8"))
