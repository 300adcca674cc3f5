"""Islanders made for measuring: voices, pictures, and what the networks make of them.

Functions here are handed to worker processes, so they take and give plain arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers import demo
from helpers.archipelago.islanders import islander
from helpers.measuring.language import foreign_language
from helpers.settings import FEATURE_SIZES, SAMPLE_RATE

if TYPE_CHECKING:
    import keras

    from helpers.faces.vgg_face import FaceDescriber

UTTERANCE, OTHER_UTTERANCE = 0, 1
SCENE, OTHER_SCENE = 0, 1
SHORT_SECONDS = 3
FURTHER_PEOPLE = 300
"""At most so many islanders speak again, speak another language and are painted again."""


def measure_islanders(task: tuple[Sequence[int], bool]) -> dict[str, np.ndarray]:
    """Makes voice and face of some islanders and reconstructs the faces with the released weights.

    Args:
        task: The islanders, and whether to make the further recordings and pictures, too.

    Returns:
        Arrays with a row per islander, named as in `measures.Measured` (`reconstructed` and
        `features` among them), and `number`. A row is NaN where no face was found, or where
        nothing further was made.
    """
    from helpers import spectrogram
    from helpers.archipelago import clips, voices

    numbers, further = task
    people = [islander(number) for number in numbers]
    spoken = [spectrogram.six_seconds(voices.speak(person, UTTERANCE)) for person in people]
    encoder = demo.released_models()[0]
    predicted = demo.predict(encoder, np.stack(spoken))
    features, landmarks = looked_at([clips.still(person, SCENE) for person in people])
    drawn = drawn_faces(predicted, features)
    made = {
        "number": np.array(numbers),
        "predicted": predicted,
        "features": features,
        "landmarks": landmarks,
        **drawn,
        **halves(encoder, spoken),
    }
    nothing = np.full_like(features, np.nan)
    if not further:
        pitch = np.full((len(people), 2), np.nan)
        islands = np.array([[person.island, -1] for person in people])
        extra = dict.fromkeys(("again", "abroad", "another_face"), nothing)
        return {**made, **extra, "pitch": pitch, "islands": islands}
    another = looked_at([clips.still(person, OTHER_SCENE) for person in people])[0]
    return {**made, **further_recordings(encoder, numbers, spoken), "another_face": another}


def halves(encoder: keras.Model, spoken: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Predicts from the first and from the last 3 s of recordings of 6 s.

    What is left is repeated to 6 s, as the series does with every voice that is shorter.

    Args:
        encoder: Waveform -> feature.
        spoken: Waveforms, (96000,) each.

    Returns:
        `early` and `late`, (n, d) each.
    """
    from helpers import spectrogram

    samples = SHORT_SECONDS * SAMPLE_RATE
    stretches = {"early": slice(samples), "late": slice(-samples, None)}
    return {
        name: demo.predict(
            encoder, np.stack([spectrogram.six_seconds(voice[part]) for voice in spoken])
        )
        for name, part in stretches.items()
    }


def further_recordings(
    encoder: keras.Model,
    numbers: Sequence[int],
    spoken: Sequence[np.ndarray],
    run: Callable[..., Iterable] = map,
) -> dict[str, np.ndarray]:
    """Lets islanders speak once more, and once in another island's language.

    Args:
        encoder: Waveform -> feature.
        numbers: The islanders.
        spoken: Their first recordings, (96000,) each.
        run: How to make recordings: `map`, or `session.parallel_map` for all cores.

    Returns:
        `again` and `abroad`, features (n, d); `pitch`, hertz (n, 2); `islands`, int (n, 2): as in
        `measures.Measured`.
    """
    recordings = list(run(_speak_again, [int(number) for number in numbers]))
    again, abroad = (np.stack(voices) for voices in zip(*recordings, strict=True))
    people = [islander(number) for number in numbers]
    both = zip(spoken, again, strict=True)
    return {
        "again": demo.predict(encoder, again),
        "abroad": demo.predict(encoder, abroad),
        "pitch": np.array([[pitch_of(first), pitch_of(second)] for first, second in both]),
        "islands": np.array([[person.island, foreign_language(person)[0]] for person in people]),
    }


def _speak_again(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Another recording in the own language, and the same in another island's."""
    from helpers.archipelago import voices

    person = islander(number)
    language = foreign_language(person)[1]
    again = voices.speak(person, OTHER_UTTERANCE)
    return again, voices.speak(person, OTHER_UTTERANCE, accent=language)


def pitch_of(waveform: np.ndarray) -> float:
    """Returns the median fundamental frequency of a voice in hertz; NaN where none is found."""
    from helpers import spectrogram

    hertz = spectrogram.fundamental_frequency(waveform)[1]
    return float(np.nanmedian(hertz)) if np.isfinite(hertz).any() else float("nan")


def drawn_faces(
    predicted: np.ndarray,
    features: np.ndarray,
    decoder: keras.Model | None = None,
    faces: np.ndarray | None = None,
    network: FaceDescriber | None = None,
) -> dict[str, np.ndarray]:
    """Looks at the faces drawn from voices, and at those drawn from the true features.

    Args:
        predicted: Features predicted from voices, (n, d).
        features: Features of true faces, (n, d); NaN where there is none.
        decoder: Feature -> face; None takes the released one.
        faces: The faces drawn from voices, uint8 (n, 128, 128, 3), where they are there already.
        network: What describes a face (`face_features.describer`); None takes dlib.

    Returns:
        `reconstructed`, `decoded` and `drawn_landmarks` as in `measures.Measured`.
    """
    if faces is None:
        faces = demo.faces_of(predicted, decoder)
    decoded = demo.faces_of(np.nan_to_num(features), decoder)
    images = [demo.enlarge(face) for face in (*faces, *decoded)]
    seen, landmarks = looked_at(images, predicted.shape[1], network)
    count = len(predicted)
    missing = ~np.isfinite(features).all(axis=1)
    seen[count:][missing], landmarks[count:][missing] = np.nan, np.nan
    return {
        "reconstructed": seen[:count],
        "decoded": seen[count:],
        "drawn_landmarks": np.stack([landmarks[:count], landmarks[count:]], axis=1),
    }


def looked_at(
    images: Iterable[np.ndarray],
    size: int = FEATURE_SIZES["dlib"],
    network: FaceDescriber | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the main face of each picture.

    Args:
        images: uint8 (height, width, 3) RGB each.
        size: Length of a feature.
        network: As in `drawn_faces`.

    Returns:
        Features, (n, size), and landmarks, (n, 68, 2); NaN where no face is found.
    """
    from helpers import face_crop

    faces = face_crop.faces_in(list(images), network=network)
    features = np.full((len(faces), size), np.nan, np.float32)
    landmarks = np.full((len(faces), 68, 2), np.nan, np.float32)
    for row, face in enumerate(faces):
        if face is not None:
            features[row], landmarks[row] = face.feature, face.landmarks
    return features, landmarks
