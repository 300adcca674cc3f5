"""A voice becomes a face: reconstruction from a file, a recording or a bundled voice.

Heavy libraries are imported on first use and the released models are loaded once, so that the
first face takes seconds and every further one a fraction of a second.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers import media
from helpers.settings import SAMPLE_RATE, SPEECH_SAMPLES
from helpers.voice_sources import BUNDLED_VOICES, bundled_face, bundled_voice, record, upload

if TYPE_CHECKING:
    import keras

    from helpers.session import Session

__all__ = ["BUNDLED_VOICES", "Reconstruction", "UnusableVoice", "bundled_face", "bundled_voice"]
__all__ += ["centre", "hear", "models", "record", "reconstruct", "reconstruct_files"]
__all__ += ["reconstruct_voices", "seen_feature", "upload", "whole_voice"]

FACE_SIZE = 256
"""Side of a reconstructed face in pixels, enlarged from the decoder's 128."""
FIELDS = ("file", "status", "reason", "seconds", "face", "apparent_sex", "apparent_age")
"""Columns of results.csv."""
_SEARCH_SECONDS = 30.0
"""How far into a recording speech is looked for."""
SILENT = "There is only silence."
SILENT_AT_FIRST = "There is only silence in the first half minute: cut off the beginning."


class UnusableVoice(ValueError):  # noqa: N818
    """A recording from which no face can be made.

    Attributes:
        reason: One plain sentence.
        status: `rejected` (it can be read, but there is no usable voice) or `failed`.
    """

    def __init__(self, reason: str, status: str = "rejected") -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """A face made from a voice.

    Attributes:
        face: uint8 (256, 256, 3) RGB with a small mark that says it was generated.
        feature: Face feature predicted from the voice, float32 (d,).
        waveform: What was heard, its first 6 s, float32 (96000,), 16 kHz.
        apparent_sex: `F` or `M`: how the face looks to a linear model, not a fact about anyone.
        apparent_age: Years, likewise.
        seconds: Time it took.
    """

    face: np.ndarray
    feature: np.ndarray
    waveform: np.ndarray
    apparent_sex: str
    apparent_age: float
    seconds: float

    @property
    def spectrogram(self) -> np.ndarray:
        """Compressed real and imaginary parts, float32 (598, 257, 2)."""
        from helpers.spectrogram import spectrogram_numpy

        return spectrogram_numpy(self.waveform)


def reconstruct(
    audio: Path | str | bytes | np.ndarray,
    encoder: keras.Model | None = None,
    decoder: keras.Model | None = None,
) -> Reconstruction:
    """Makes a face from a voice.

    An encoder that takes any length hears all of the voice, up to half a minute: the more is said,
    the less does it matter what is said. Other encoders hear 6 s.

    Args:
        audio: An audio or video file, its content as bytes, or a waveform at 16 kHz: float from -1
            to 1 or int16, (samples,).
        encoder: Waveform -> feature; None takes the released one.
        decoder: Feature -> face; None takes the released one.

    Returns:
        The face and what led to it.

    Raises:
        UnusableVoice: The file is missing or unreadable, or there is no voice in it.
    """
    started = time.perf_counter()
    (made,) = reconstruct_voices([whole_voice(audio)], encoder, decoder)
    return dataclasses.replace(made, seconds=time.perf_counter() - started)


def reconstruct_voices(
    voices: Sequence[np.ndarray],
    encoder: keras.Model | None = None,
    decoder: keras.Model | None = None,
    looked_at: int | None = None,
) -> list[Reconstruction]:
    """Makes faces from several voices at once, which takes less time than one after the other.

    Args:
        voices: What `whole_voice` or `hear` returned, each float32 (samples,).
        encoder: As in `reconstruct`.
        decoder: As in `reconstruct`.
        looked_at: Of how many, from the first on, apparent sex and age are read; None reads all.
            The others have an empty sex and NaN years, and take less than half the time.

    Returns:
        A face and what led to it for each voice; `seconds` is its share of the time.
    """
    from helpers.plots import faces as plots
    from helpers.spectrogram import six_seconds

    started = time.perf_counter()
    encoder = encoder or released_models()[0]
    features = np.concatenate([_predicted(encoder, voice) for voice in voices])
    faces = faces_of(features, decoder)
    looks = [_apparent(face) for face in faces[:looked_at]]
    looks += [("", float("nan"))] * (len(faces) - len(looks))
    seconds = (time.perf_counter() - started) / len(voices)
    return [
        Reconstruction(
            face=plots.mark_generated(enlarge(face)),
            feature=feature,
            waveform=six_seconds(voice),
            apparent_sex=sex,
            apparent_age=age,
            seconds=seconds,
        )
        for face, feature, voice, (sex, age) in zip(faces, features, voices, looks, strict=True)
    ]


def reconstruct_files(
    paths: Iterable[Path | str],
    out: Path | str,
    encoder: keras.Model | None = None,
    decoder: keras.Model | None = None,
) -> list[dict]:
    """Makes a face from each file and writes `results.csv` beside the faces.

    A file that cannot be used becomes a row with a reason, and the rest goes on.

    Args:
        paths: Audio or video files.
        out: Folder for one PNG per file and results.csv; made when it is not there.
        encoder: As in `reconstruct`.
        decoder: As in `reconstruct`.

    Returns:
        One dict per file with the keys of `FIELDS`.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    taken: set[str] = set()
    for path in map(Path, paths):
        started = time.perf_counter()
        row = dict.fromkeys(FIELDS, "") | {"file": str(path)}
        try:
            made = reconstruct(path, encoder, decoder)
            name = _free_name(path.stem, taken)
            (out / name).write_bytes(png(made.face))
            row |= {
                "status": "ok",
                "face": name,
                "apparent_sex": made.apparent_sex,
                "apparent_age": made.apparent_age,
            }
        except UnusableVoice as error:
            row |= {"status": error.status, "reason": error.reason}
        except Exception as error:  # one file never stops the others
            row |= {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        row["seconds"] = round(time.perf_counter() - started, 3)
        rows.append(row)
    _write_csv(rows, out / "results.csv")
    return rows


def hear(audio: Path | str | bytes | np.ndarray) -> np.ndarray:
    """Reads 6 s of a voice.

    Silence at the beginning is skipped; a voice shorter than 6 s is repeated.

    Args:
        audio: As in `reconstruct`.

    Returns:
        float32 (96000,).

    Raises:
        UnusableVoice: With a plain reason.
    """
    from helpers.spectrogram import six_seconds

    return six_seconds(whole_voice(audio))


def whole_voice(audio: Path | str | bytes | np.ndarray) -> np.ndarray:
    """Reads a voice from its first sound on, up to half a minute.

    Args:
        audio: As in `reconstruct`.

    Returns:
        float32 (samples,), half a second or more.

    Raises:
        UnusableVoice: With a plain reason.
    """
    from helpers import spectrogram

    waveform = _waveform(audio) if isinstance(audio, np.ndarray) else _decoded(audio)
    if not np.isfinite(waveform).all():
        raise UnusableVoice("The sound holds values that are not numbers.")
    peak = np.abs(waveform).max(initial=0)
    if spectrogram.decibels(peak) < spectrogram.SILENCE_DBFS:
        more = not isinstance(audio, np.ndarray) and len(waveform) >= _SEARCH_SECONDS * SAMPLE_RATE
        raise UnusableVoice(SILENT_AT_FIRST if more else SILENT)
    first = int(np.argmax(np.abs(waveform) > peak / 100))
    waveform = waveform[max(0, min(first - SAMPLE_RATE // 10, len(waveform) - 1)) :]
    sound = spectrogram.seconds_of_sound(waveform[:SPEECH_SAMPLES])
    shortest = spectrogram.SHORTEST_SOUND_SECONDS
    if sound < shortest:
        tenths = int(10 * sound)  # Rounded, 0.48 s would look enough.
        raise UnusableVoice(f"Only {tenths / 10} s of sound; {shortest} s are needed.")
    return waveform[: int(_SEARCH_SECONDS * SAMPLE_RATE)].astype(np.float32)


@functools.cache
def released_models() -> tuple[keras.Model, keras.Model]:
    """Loads the released voice encoder and face decoder, once."""
    from helpers import face_decoder, voice_encoder

    return voice_encoder.released(), face_decoder.released()


def models(session: Session) -> tuple[keras.Model, keras.Model]:
    """Loads encoder and decoder as the settings of a run say: released, or trained by 04 and 05.

    Raises:
        MissingTable: They should be trained and are not; the message names the notebook.
        WrongFeatures: They were made for features of another kind than the settings'.
    """
    from helpers import face_decoder, voice_encoder, weights

    if session.settings.weights == "released":
        networks = released_models()
    else:
        parts = ("encoder", "decoder")
        encoder, decoder = (session.workspace.checkpoints(part).require() for part in parts)
        networks = (
            voice_encoder.load(encoder.path("voice_encoder.keras")),
            face_decoder.load(decoder.path("face_decoder.keras")),
        )
    for network in networks:
        weights.check_features(network, session.settings.features)
    return networks


def centre(encoder: keras.Model) -> np.ndarray:
    """Returns the mean feature of the people an encoder was trained on, (d,)."""
    from helpers import voice_encoder

    return voice_encoder.centre_of(encoder)


def predict(model: keras.Model, inputs: np.ndarray, batch: int = 16) -> np.ndarray:
    """Applies a model in small batches, without the start-up time of `model.predict`.

    Args:
        model: A Keras model with one input and one output.
        inputs: Array (n, ...).
        batch: Rows at a time.

    Returns:
        float32 (n, ...).
    """
    parts = [
        model.predict_on_batch(inputs[start : start + batch])
        for start in range(0, len(inputs), batch)
    ]
    return np.concatenate(parts).astype(np.float32)


def faces_of(features: np.ndarray, decoder: keras.Model | None = None) -> np.ndarray:
    """Decodes features, (n, d), to faces, uint8 (n, 128, 128, 3) RGB, without a mark.

    Raises:
        WrongFeatures: The decoder was made for features of another kind.
    """
    from helpers import weights

    decoder = decoder or released_models()[1]
    weights.check_features(decoder, features)
    faces = predict(decoder, features)
    return np.round(255 * np.clip(faces, 0, 1)).astype(np.uint8)


def enlarge(face: np.ndarray, size: int = FACE_SIZE) -> np.ndarray:
    """Enlarges a square uint8 RGB face to `size` pixels a side."""
    import cv2

    return cv2.resize(face, (size, size), interpolation=cv2.INTER_CUBIC)


def png(image: np.ndarray) -> bytes:
    """Encodes a uint8 (height, width, 3) RGB image as PNG."""
    import cv2

    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def _predicted(encoder: keras.Model, voice: np.ndarray) -> np.ndarray:
    """Predicts the feature of one voice, (1, d): from all of it, where the encoder can."""
    from helpers.spectrogram import six_seconds

    any_length = encoder.input_shape[1] is None
    return predict(encoder, (voice if any_length else six_seconds(voice))[None])


def _waveform(samples: np.ndarray) -> np.ndarray:
    if samples.ndim != 1 or not len(samples):
        raise UnusableVoice(f"A waveform has the shape (samples,), not {samples.shape}.")
    if samples.dtype == np.int16:
        return media.from_int16(samples)
    if not np.issubdtype(samples.dtype, np.floating):
        raise UnusableVoice(f"A waveform is float or int16, not {samples.dtype}.")
    peak = np.abs(samples).max()
    if 2 < peak < np.inf:
        raise UnusableVoice(f"A waveform lies between -1 and 1; this one reaches {peak:.4g}.")
    return samples.astype(np.float32)


def _decoded(audio: Path | str | bytes) -> np.ndarray:
    if not isinstance(audio, bytes):
        path = Path(audio)
        if path.is_dir():
            raise UnusableVoice("It is a folder, not a sound file.")
        if not path.exists():
            raise UnusableVoice("There is no such file.", "failed")
    try:
        return media.read_audio(audio, seconds=_SEARCH_SECONDS)
    except media.MediaError as error:
        raise UnusableVoice(error.reason) from error


def _apparent(decoded: np.ndarray) -> tuple[str, float]:
    """Reads how a decoded face looks."""
    from helpers import face_features

    reader, feature = face_features.released_attribute_reader(), seen_feature(decoded)[None]
    years = reader.age_of_drawn(feature)[0]
    return "FM"[int(reader.sex(feature)[0] > 0.5)], round(float(years), 1)


def seen_feature(decoded: np.ndarray) -> np.ndarray:
    """Describes a decoded face, uint8 (128, 128, 3) RGB, as dlib sees it, (128,)."""
    from helpers import face_features
    from helpers.faces.face_alignment import FACE_BOX

    return face_features.describe(enlarge(decoded), [FACE_SIZE * share for share in FACE_BOX])


def _free_name(stem: str, taken: set[str]) -> str:
    """Returns a file name that no other file of this run has, also where case does not count."""
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return f"{name}.png"


def _write_csv(rows: list[dict], path: Path) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    # A file's name may hold bytes that are no text; they should not cost the whole table.
    path.write_bytes(text.getvalue().encode("utf-8", "surrogateescape"))
