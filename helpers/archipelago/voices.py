"""Voices of the islanders: who speaks is made by signal processing, what is said by espeak-ng.

`persona` maps latents to a voice. The figures are those of the literature on human voices, and
`phonetics` measures whether what is heard keeps to them:

- Mean fundamental frequency of about 120 Hz (men) and 200 Hz (women), between-speaker standard
  deviation of 3 semitones, and 2 to 4 semitones within an utterance: Traunmüller and Eriksson
  (1995), "The frequency range of the voice fundamental in the speech of male and female adults";
  Hillenbrand et al. (1995), J. Acoust. Soc. Am. 97, 3099-3111. So the sexes overlap, as people's
  do, and it takes the vocal tract to tell a low woman's voice from a high man's.
- With age it falls in women, and rises again in men after about 60: Stathopoulos, Huber and Sussman
  (2011), J. Speech Lang. Hear. Res. 54, 1011-1021; Nishio and Niimi (2008), Folia Phoniatr. Logop.
  60, 120-127. Harmonics-to-noise ratio falls in women: Ferrand (2002), J. Voice 16, 480-487; that
  it does so in men alike, with breath, jitter, shimmer and tremor, is simpler than people are. The
  first formant falls, here by 6 %: Reubold, Harrington and Kleber (2010), Speech Communication 52,
  638-651; Eichhorn et al. (2018), J. Voice 32, found little of it.
- Vocal tracts of about 17 cm (men) and 14.5 cm (women), longer in larger people, with a standard
  deviation of 5 % within a sex: Fitch and Giedd (1999), J. Acoust. Soc. Am. 106, 1511-1522;
  Goldstein (1980), doctoral thesis, MIT. That size explains nearly all of it is this world's
  simplification: in people it explains at most a tenth of the formants within a sex, Pisanski et
  al. (2014), Animal Behaviour 95, 89-99.
- Speech slows down with age, by a quarter from 25 to 75: Smith, Wasowicz and Preston (1987),
  J. Speech Hear. Res. 30, 522-529; less in Jacewicz et al. (2009), Language Variation and Change
  21, 233-256.
- Spread lips shorten the vocal tract at its end and rounded lips lengthen it, which moves the
  second and third formants most: Fant (1960), Acoustic Theory of Speech Production; Lasarcyk and
  Trouvain (2008), "Spread lips + raised larynx + higher F0 = smiled speech?". Here by 5 and 4 % for
  one standard deviation of the mouth, which is much: in people it depends on the vowel, Fagel
  (2009), "Effects of smiled speech on lips, larynx and acoustics".
- Women's breath is heard in the treble: Klatt and Klatt (1990), J. Acoust. Soc. Am. 87, 820-857;
  Mendoza et al. (1996), J. Voice 10, 59-66. Over the whole band their voices measure as more
  periodic than men's do in recordings of people who read, and so they do here.
- Low voices creak more often, women's as well as men's: Yuasa (2010), American Speech 85, 315-337.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from helpers.archipelago import acoustics, melody, sentences, speech_synthesis, vocal_tract
from helpers.archipelago.islanders import Islander, generator
from helpers.settings import SAMPLE_RATE

ACCENTS = tuple(voice for island in sentences.VOICES for voice in island)
"""The 18 languages and accents in the order of the one-hot part of `voice_parameters`."""

_TRACT = {"F": 14.6, "M": 16.9}
_PITCH = {"F": 12 * np.log2(2.00), "M": 12 * np.log2(1.20)}
_PITCH_SPREAD = 2.9


@dataclasses.dataclass(frozen=True)
class _Setting:
    """What all languages of an island have in common: melody, pace and posture of the throat.

    Laver (1980), The Phonetic Description of Voice Quality, calls the posture a setting.
    """

    lateness: float
    ending: float
    span: float
    pace: float
    jaw: float
    ring: float
    breath: float


_SETTINGS = (
    _Setting(0.00, -1.2, 1.00, 0.96, 0.045, 2.2, -0.05),
    _Setting(0.03, -0.9, 1.10, 1.05, -0.035, -2.0, 0.05),
    _Setting(0.07, 0.5, 1.05, 1.00, 0.020, -1.0, -0.02),
    _Setting(-0.02, -1.5, 0.90, 0.92, -0.050, 1.8, 0.03),
    _Setting(0.02, -0.6, 0.80, 1.10, 0.050, -1.8, 0.04),
    _Setting(0.05, 0.9, 1.20, 0.98, -0.020, 1.0, -0.05),
)
"""By island: lateness of accents in s, ending of clauses, range, pace, shift of the first formant,
gain at 3.2 kHz in dB, breathiness."""


@dataclasses.dataclass(frozen=True)
class Persona:
    """A voice: what it says it with.

    Attributes:
        accent: espeak-ng's name of the language or accent.
        rate: Speaking rate in words a minute, on espeak-ng's scale.
        melody: How the pitch moves.
        tract: Glottis and vocal tract.
    """

    accent: str
    rate: float
    melody: melody.Melody
    tract: vocal_tract.Tract


def persona(islander: Islander) -> Persona:
    """Returns the voice that an islander's latents make."""
    sex, age = islander.sex, islander.age
    breathy, tilted, formants, lively = islander.tone
    woman = sex == "F"
    old = max(0.0, age - 25) / 55
    island = _SETTINGS[islander.island]
    tract = vocal_tract.Tract(
        length=_TRACT[sex] * (1 + 0.050 * islander.size + 0.008 * formants),
        first=island.jaw - 0.06 * (old - 0.35),
        second=0.050 * islander.mouth,
        third=0.042 * islander.mouth + 0.010 * formants,
        brightness=2.4 * islander.mouth,
        tilt=0.7 * tilted - 1.4 * (old - 0.35) - (0.4 if woman else 0.0),
        chest=(-0.5 if woman else -1.8) - 0.6 * tilted,
        presence=(4.0 if woman else 2.5) + 0.6 * tilted,
        ring=island.ring,
        air=(2.5 if woman else 0.5) + 0.9 * breathy,
        first_harmonic=(-1.4 if woman else 2.6) + 0.8 * breathy + 1.8 * old,
        breathiness=float(
            np.clip((0.14 if woman else 0.16) + 0.07 * breathy + 0.45 * old + island.breath, 0, 1)
        ),
        jitter=float((0.0030 if woman else 0.0042) * np.exp(0.15 * breathy + 1.5 * old)),
        shimmer=float((0.026 if woman else 0.036) * np.exp(0.15 * breathy + 1.0 * old)),
    )
    moves = melody.Melody(
        mean=_PITCH[sex]
        + _age_drift(sex, age)
        - 0.5 * islander.size
        + _PITCH_SPREAD * islander.pitch,
        range=float(2.9 * island.span * np.exp(0.26 * lively)),
        tremor=0.04 + 0.7 * old**1.5,
        creak=float(np.clip(0.35 - 0.15 * islander.pitch, 0, 0.8)),
        lateness=island.lateness,
        ending=island.ending,
    )
    rate = 160 * island.pace * np.exp(0.065 * islander.tempo) * (1 - 0.0055 * (age - 40))
    accent = sentences.VOICES[islander.island][islander.language]
    return Persona(accent, float(np.clip(rate, 95, 260)), moves, tract)


def _age_drift(sex: str, age: float) -> float:
    """Semitones that pitch moves with age, about 0 on average over the adult ages."""
    if sex == "F":
        return float(np.interp(age, [18, 45, 60, 80], [1.1, 0.2, -1.2, -2.0]))
    return float(np.interp(age, [18, 40, 60, 80], [0.3, -0.4, -0.2, 2.0]))


PARAMETER_NAMES = (
    "pitch",
    "pitch_range",
    "tremor",
    "creak",
    "peak_lateness",
    "clause_ending",
    "rate",
    "tract_length",
    "first_formant",
    "second_formant",
    "third_formant",
    "brightness",
    "tilt",
    "chest",
    "presence",
    "ring",
    "air",
    "first_harmonic",
    "breathiness",
    "jitter",
    "shimmer",
    *(f"accent_{accent}" for accent in ACCENTS),
)
"""What the numbers of `voice_parameters` are."""


def voice_parameters(islander: Islander) -> np.ndarray:
    """Returns exactly what an islander's voice is made with.

    Returns:
        float32 (39,), in the order of `PARAMETER_NAMES`: pitch in semitones above 100 Hz, its
        range and tremor in semitones, rate in words a minute, length in cm, formant shifts, jitter
        and shimmer relative, gains in dB, then which accent it is.
    """
    voice = persona(islander)
    moves, tract = voice.melody, voice.tract
    numbers = [
        moves.mean,
        moves.range,
        moves.tremor,
        moves.creak,
        moves.lateness,
        moves.ending,
        voice.rate,
        tract.length,
        tract.first,
        tract.second,
        tract.third,
        tract.brightness,
        tract.tilt,
        tract.chest,
        tract.presence,
        tract.ring,
        tract.air,
        tract.first_harmonic,
        tract.breathiness,
        tract.jitter,
        tract.shimmer,
    ]
    return np.array([*numbers, *(accent == voice.accent for accent in ACCENTS)], np.float32)


def studio(
    islander: Islander,
    utterance: int,
    seconds: float = 6.0,
    accent: str = "",
    transpose: float = 0.0,
) -> np.ndarray:
    """Lets an islander speak without room, microphone and noise.

    Arguments, result and errors are those of `speak`.
    """
    random = generator("speech", islander.number, utterance)
    voice = persona(islander)
    moves = dataclasses.replace(voice.melody, mean=voice.melody.mean + transpose)
    voice = dataclasses.replace(voice, accent=accent or voice.accent, melody=moves)
    samples = int(round(seconds * SAMPLE_RATE))
    lead = random.uniform(0.05, 0.3)
    words = sentences.text(voice.accent, random, count=3 + int(seconds / 2))
    rate = voice.rate * random.uniform(0.95, 1.05)
    plain, phonemes = speech_synthesis.synthesise(words, voice.accent, int(round(rate)))
    plain = np.pad(plain, (int(lead * speech_synthesis.ESPEAK_RATE), 0))
    plain = plain[: int((seconds + 0.2) * speech_synthesis.ESPEAK_RATE)]
    phonemes = [dataclasses.replace(sound, start=sound.start + lead) for sound in phonemes]
    phonemes = [sound for sound in phonemes if sound.start < seconds]
    hertz, creak = melody.contour(phonemes, seconds + 0.1, voice.melody, random)
    speech = vocal_tract.speak_as(plain, voice.tract, hertz, creak, random, samples)
    fade = np.minimum(1, np.arange(samples, 0, -1, dtype=np.float32) / (0.02 * SAMPLE_RATE))
    speech = speech * fade
    level = np.sqrt(np.mean(speech**2)) + 1e-9
    return (speech * min(0.08 / level, 0.95 / np.abs(speech).max())).astype(np.float32)


def speak(
    islander: Islander,
    utterance: int,
    seconds: float = 6.0,
    accent: str = "",
    transpose: float = 0.0,
) -> np.ndarray:
    """Records an islander: a voice in a room, through a microphone, with noise, on some level.

    About half the time it is the islander's habitual microphone, and independently the habitual
    room; else any other, so that a recording does not give its speaker away.

    Args:
        islander: Who speaks.
        utterance: Which utterance, 0 or more: other sentences, another melody.
        seconds: Length of the recording.
        accent: One of `ACCENTS` to speak with, instead of the islander's own; nothing else of the
            voice changes.
        transpose: Semitones by which the islander speaks higher than usual; the vocal tract stays.

    Returns:
        Waveform, float32 (n,) at 16 kHz within -1..1; the same in every process.

    Raises:
        SpeechError: espeak-ng does not load.
    """
    random = generator("record", islander.number, utterance)
    others = random.integers(2**31, size=2)
    microphone = islander.microphone if random.random() < 0.5 else int(others[0])
    room = islander.room if random.random() < 0.5 else int(others[1])
    speech = studio(islander, utterance, seconds, accent, transpose)
    return acoustics.record(speech, microphone, room, random)
