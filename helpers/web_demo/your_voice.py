"""Tab 1, Your voice: a recording becomes a face, an explanation, and how sure it is."""

from __future__ import annotations

import functools
import html
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from helpers import demo
from helpers.archipelago import portraits
from helpers.archipelago.islanders import ISLANDS, islander
from helpers.settings import SAMPLE_RATE, SPEECH_SECONDS
from helpers.web_demo import engine, pictures, safety, usual_voices

NEAREST = 3
_USUAL_SECONDS = int(SPEECH_SECONDS)
_PORTRAIT_SIZE = 128
_LEVELS = {"usual": "As sure as it gets", "outside": "Less than usual", "unlike": "Not at all"}
_LIMIT = "It does not notice two people who speak at once, or speech that runs backwards."
_PERSON = {"F": "woman", "M": "man"}
_LOOKS = {"F": "female", "M": "male"}


def from_upload(shared: engine.Engine, path: str | Path) -> str:
    """Makes the answer to an uploaded file, which is deleted.

    Args:
        shared: What makes the faces.
        path: The uploaded file.

    Returns:
        A piece of a page: the face and what belongs to it, or what is wrong with the file.
    """
    try:
        with safety.used_once(path) as file:
            heard = safety.listen(file)
    except demo.UnusableVoice as error:
        return refusal(error.reason)
    return answer(shared, heard)


def from_sample(shared: engine.Engine, name: str, recording: int) -> str:
    """Lets an islander speak and makes the answer to that.

    Args:
        shared: What makes the faces.
        name: One of `demo.BUNDLED_VOICES`.
        recording: Which recording: other words each time.
    """
    heard = safety.examine(demo.bundled_voice(name, recording))
    return answer(shared, heard, _portrait(demo.BUNDLED_VOICES[name]))


def answer(shared: engine.Engine, heard: safety.Heard, truth: np.ndarray | None = None) -> str:
    """Makes the answer to a recording: faces, how sure, looks, spectrogram, nearest islanders.

    Args:
        shared: What makes the faces.
        heard: The recording.
        truth: Portrait of the speaker where it is known, uint8 (side, side, 3) RGB.
    """
    from helpers.spectrogram import six_seconds

    some = (_USUAL_SECONDS, safety.SHORT_SECONDS)
    lengths = [length for length in some if heard.seconds >= length + 1]
    beginnings = [six_seconds(heard.voice[: length * SAMPLE_RATE]) for length in lengths]
    whole, *others = shared.faces([heard.voice, *beginnings], looked_at=1)
    beginning = dict(zip(lengths, others, strict=True))
    verdict = usual_voices.judge(heard.measures)
    faces = [
        pictures.figure(
            whole.face,
            f"Generated face: {_looks(whole)}.",
            f"Face from {heard.length} of voice",
            "main",
        ),
        *(_less(made.face, length) for length, made in beginning.items()),
    ]
    if truth is not None:
        faces.append(pictures.figure(truth, "The islander.", "The islander who spoke"))
    level = "outside" if heard.warnings and verdict.level == "usual" else verdict.level
    said = [*heard.warnings, verdict.text, *([_LIMIT] if level == "usual" else [])]
    part = f", the first {_USUAL_SECONDS} s" if _USUAL_SECONDS in beginning else ""
    file = pictures.address(pictures.to_keep(whole.face), "image/jpeg")
    return (
        f'<div class="answer"><div class="faces">{"".join(faces)}</div>'
        f'<div class="sure {level}"><h3>How sure? {_LEVELS[level]}.</h3>'
        f"{''.join(f'<p>{html.escape(text)}</p>' for text in said)}</div>"
        f'<p><a class="download" download="face-from-a-voice.jpg" href="{file}">'
        "Download the picture</a></p>"
        f"{_looks_table(whole)}{_short_text(shared, whole, beginning, heard.seconds)}"
        f"<h3>What it heard{part}</h3>"
        f"{pictures.player(heard.waveform, 'What was heard')}"
        f"{pictures.spectrogram(heard.waveform)}{nearest(shared, whole.feature)}</div>"
    )


def nearest(shared: engine.Engine, feature: np.ndarray) -> str:
    """Shows the islanders of the training whose faces are nearest to a predicted feature."""
    numbers, features = engine.islander_features()
    closeness = cosines(feature, features, shared.centre())
    figures = []
    for index in np.argsort(-closeness)[:NEAREST]:
        person = islander(int(numbers[index]))
        text = f"{_PERSON[person.sex]}, {person.age:.0f}, of {ISLANDS[person.island]}"
        caption = f"{text[0].upper()}{text[1:]}: {closeness[index]:.2f}"
        figures.append(pictures.figure(_portrait(person.number), f"Islander: {text}.", caption))
    return (
        '<div class="nearest"><h3>Nearest faces of the training</h3><p>Of the '
        f"{len(numbers):,} islanders that the networks were trained on, these look most like what "
        "it expects of this voice. The number is the cosine of the two features: 1 is the same, 0 "
        f'as far as any two people.</p><div class="faces small">{"".join(figures)}</div></div>'
    )


def cosines(feature: np.ndarray, others: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Returns the cosine of one feature, (d,), with others, (n, d), seen from the mean face."""
    one, many = feature - centre, others - centre
    lengths = np.linalg.norm(one) * np.linalg.norm(many, axis=1)
    return many @ one / np.maximum(lengths, 1e-9)


def _less(face: np.ndarray, seconds: int) -> str:
    """Shows the face from the beginning of a recording."""
    text = f"Generated face from {seconds} s of sound."
    return pictures.figure(face, text, f"From the first {seconds} s")


def refusal(reason: str) -> str:
    """Shows why there is no face, and what to do."""
    return (
        '<div class="answer"><div class="refusal" role="alert"><h3>No face from this one</h3>'
        f"<p>{html.escape(reason)}</p></div></div>"
    )


def _looks(made: demo.Reconstruction) -> str:
    return f"it looks {_LOOKS[made.apparent_sex]}, about {made.apparent_age:.0f} years old"


def _looks_table(made: demo.Reconstruction) -> str:
    """Apparent sex and age, with what the networks reach on people they never saw."""
    sex, age = (engine.measured()["apparent"][name] for name in ("sex", "age"))
    return (
        "<h3>How the face looks</h3>"
        '<table class="looks"><thead><tr><th></th><th>this face looks</th><th>how sure that '
        "is</th><th>by guessing</th></tr></thead><tbody>"
        f"<tr><th>Sex</th><td>{_LOOKS[made.apparent_sex]}</td>"
        f"<td>{sex['balanced_accuracy']:.1%}</td><td>{sex['constant_guess']:.0%}</td></tr>"
        f"<tr><th>Age</th><td>about {made.apparent_age:.0f}</td>"
        f"<td>off by {age['mean_absolute_error']:.1f} years</td>"
        f"<td>off by {age['constant_guess']:.1f} years</td></tr></tbody></table>"
        f"<p>Measured on {sex['count']:,} islanders that no network was trained on. With real "
        "people it is wrong more often. It says how a picture looks to a linear model, not who "
        "anyone is.</p>"
    )


def _short_text(
    shared: engine.Engine,
    whole: demo.Reconstruction,
    beginning: Mapping[int, demo.Reconstruction],
    seconds: float,
) -> str:
    """Three seconds against six, or all there is: how alike the features are, what is usual."""
    short = safety.SHORT_SECONDS
    if short not in beginning:
        return ""
    early, usual = beginning[short], beginning.get(_USUAL_SECONDS, whole)
    alike = cosines(usual.feature, early.feature[None], shared.centre())[0]
    lengths = engine.measured()["lengths"]
    three, six = (lengths[key]["retrieval"]["cosine"]["recall"]["10"] for key in ("3", "6"))
    two = engine.measured()["consistency"]["over_recordings"]["all"]
    return (
        f"<h3>{short} seconds against {min(_USUAL_SECONDS, seconds):.0f}</h3>"
        f"<p>The features of the two faces have a cosine of {alike:.2f}; two recordings of one "
        f"islander have {two['within'][0]:.2f}, those of two islanders "
        f"{max(0.0, two['between'][0]):.2f}. The right face is among the first 10 of "
        f"{lengths['people']} for {three:.1%} of the islanders after 3 s and {six:.1%} after 6 s; "
        f"chance is {10 / lengths['people']:.0%}.</p>"
    )


@functools.lru_cache(maxsize=400)
def _portrait(number: int) -> np.ndarray:
    return portraits.portrait(islander(number), size=_PORTRAIT_SIZE)
