"""Tab 2, Voice workshop: a voice is built from six numbers, and the face follows.

Everything else of the voice lies halfway between a woman's and a man's, so that what is heard, and
what the face does, comes from the sliders alone.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from helpers.archipelago import melody, sentences, speech_synthesis, vocal_tract, voices
from helpers.archipelago.islanders import ISLANDS, Islander, generator, islander
from helpers.settings import SPEECH_SAMPLES, SPEECH_SECONDS
from helpers.web_demo import engine, pictures, usual_voices, voice_measures

_LANGUAGES = {
    "en-gb-x-rp": "English",
    "fr": "French",
    "it": "Italian",
    "en-us": "English",
    "es-419": "Spanish",
    "pt-br": "Portuguese",
    "en-gb-scotland": "English",
    "nb": "Norwegian",
    "sv": "Swedish",
    "en-gb-x-gbclan": "English",
    "de": "German",
    "nl": "Dutch",
    "en-us-nyc": "English",
    "fi": "Finnish",
    "pl": "Polish",
    "en-029": "English",
    "id": "Indonesian",
    "tr": "Turkish",
}
ACCENTS = {
    f"{ISLANDS[island]}: {_LANGUAGES[voice]}": voice
    for island, of_island in enumerate(sentences.VOICES)
    for voice in of_island
}
"""What the page calls an accent -> espeak-ng's name of it."""


@dataclasses.dataclass(frozen=True)
class Slider:
    """One number of a voice.

    Attributes:
        name: Field of `Voice`.
        label: What it is, with its unit.
        low: Least value.
        high: Greatest value.
        step: From one value to the next.
        start: Value at the beginning.
        note: What it is about, in a sentence.
    """

    name: str
    label: str
    low: float
    high: float
    step: float
    start: float
    note: str


SLIDERS = (
    Slider("pitch", "Pitch (Hz)", 75, 300, 5, 155, "Men are around 120, women around 200."),
    Slider(
        "tract", "Vocal-tract length (cm)", 13, 19, 0.1, 15.8, "Women around 14.6, men around 16.9."
    ),
    Slider("tempo", "Tempo (words a minute)", 100, 240, 5, 160, "Older people speak more slowly."),
    Slider("breathiness", "Breathiness", 0, 1, 0.05, 0.15, "0 is clear, 1 is mostly breath."),
    Slider("age", "Age of the voice (years)", 18, 80, 1, 40, "Tremor, roughness and timbre."),
)


@dataclasses.dataclass(frozen=True)
class Voice:
    """What a voice is built from.

    Attributes:
        pitch: Mean fundamental frequency in Hz.
        tract: Length of the vocal tract in cm.
        tempo: Words a minute.
        breathiness: 0 (clear) to 1.
        age: Years; moves tremor, jitter, shimmer, tilt and the first formant.
        accent: A key of `ACCENTS`.
        utterance: Which sentences, 0 or more.
    """

    pitch: float = 155.0
    tract: float = 15.8
    tempo: float = 160.0
    breathiness: float = 0.15
    age: float = 40.0
    accent: str = next(iter(ACCENTS))
    utterance: int = 0

    @classmethod
    def checked(cls, *values: object) -> Voice:
        """Makes a voice of what came from a page, in the order of the fields.

        Raises:
            ValueError: A number is missing or outside of its slider, or there is no such accent.
        """
        numbers = []
        for slider, value in zip(SLIDERS, values, strict=False):
            if not isinstance(value, int | float) or not slider.low <= value <= slider.high:
                raise ValueError(f"{slider.label} goes from {slider.low:g} to {slider.high:g}.")
            numbers.append(float(value))
        accent, utterance = values[len(SLIDERS) :]
        if accent not in ACCENTS:
            raise ValueError(f"There is no accent {accent!r}. Choose one from the list.")
        return cls(*numbers, accent, int(utterance) % 1000)


def speak(voice: Voice) -> np.ndarray:
    """Lets a voice speak, without room, microphone and noise.

    Returns:
        float32 (96000,) at 16 kHz, -1 to 1; always the same for the same voice.
    """
    random = generator("workshop", voice.utterance)
    accent = ACCENTS[voice.accent]
    persona = _persona(voice)
    words = sentences.text(accent, random, count=6)
    plain, sounds = speech_synthesis.synthesise(words, accent, int(round(voice.tempo)))
    hertz, creak = melody.contour(sounds, SPEECH_SECONDS + 0.1, persona.melody, random)
    plain = plain[: int((SPEECH_SECONDS + 0.2) * speech_synthesis.ESPEAK_RATE)]
    speech = vocal_tract.speak_as(plain, persona.tract, hertz, creak, random, SPEECH_SAMPLES)
    level = np.sqrt(np.mean(speech**2)) + 1e-9
    return (speech * min(0.08 / level, 0.95 / np.abs(speech).max())).astype(np.float32)


def answer(shared: engine.Engine, *values: object) -> tuple[str, str]:
    """Makes what the tab shows.

    Args:
        shared: What makes the faces.
        *values: What the sliders say, in the order of the fields of `Voice`.

    Returns:
        Two pieces of a page: the face, and below it how sure, the player and the spectrogram.
    """
    try:
        voice = Voice.checked(*values)
    except ValueError as error:
        return f'<div class="refusal" role="alert"><p>{error}</p></div>', ""
    waveform = speak(voice)
    made = shared.faces(waveform[None])[0]
    looks = {"F": "female", "M": "male"}[made.apparent_sex]
    text = f"Looks {looks}, about {made.apparent_age:.0f}"
    verdict = usual_voices.judge(voice_measures.measure(waveform))
    sure = "" if verdict.level == "usual" else f'<p class="sure {verdict.level}">{verdict.text}</p>'
    face = pictures.figure(made.face, f"Generated face: {text.lower()}.", text, "main")
    sound = pictures.player(waveform, "The voice of the workshop")
    return f'<div class="faces">{face}</div>', sure + sound + pictures.spectrogram(waveform)


def _persona(voice: Voice) -> voices.Persona:
    """Builds a persona halfway between a woman and a man of that age, then sets what is asked."""
    woman, man = (voices.persona(_nobody(sex, voice.age)) for sex in "FM")
    tract = _halfway(woman.tract, man.tract)
    moves = _halfway(woman.melody, man.melody)
    semitones = 12 * np.log2(voice.pitch / 100)
    return voices.Persona(
        accent=ACCENTS[voice.accent],
        rate=voice.tempo,
        melody=dataclasses.replace(moves, mean=float(semitones)),
        tract=dataclasses.replace(tract, length=voice.tract, breathiness=voice.breathiness),
    )


@functools.lru_cache(maxsize=200)
def _nobody(sex: str, age: float) -> Islander:
    """An islander without any habit of the voice: only sex and age are set."""
    return dataclasses.replace(
        islander(0), sex=sex, age=age, size=0.0, mouth=0.0, pitch=0.0, tempo=0.0, tone=(0.0,) * 4
    )


def _halfway(one, other):
    """Returns the mean of two dataclasses of numbers."""
    fields = dataclasses.asdict(one)
    return type(one)(**{name: (value + getattr(other, name)) / 2 for name, value in fields.items()})
