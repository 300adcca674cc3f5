"""espeak-ng behind one function: a text becomes plain speech on one note, with its sounds in time.

The library comes inside the `espeakng-loader` wheel, so nothing has to be installed on the machine.
What it speaks has the right sounds of the language; the person is made of it in `vocal_tract`.
"""

from __future__ import annotations

import _ctypes
import ctypes
import dataclasses
import threading

import numpy as np

ESPEAK_RATE = 22_050
"""Samples per second of espeak-ng."""
MONOTONE = 105
"""Fundamental frequency in Hz of everything that espeak-ng speaks here: 210 samples a period, so
that the envelope between harmonics and the periodicity can be read off exactly."""

_SYNCHRONOUS = 2
_PHONEME_EVENTS_DO_NOT_EXIT = 0x8001
_UTF8 = 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_EVENT_CLAUSE_END, _EVENT_PHONEME = 5, 7
_lock = threading.Lock()


class SpeechError(RuntimeError):
    """espeak-ng cannot be loaded or refuses a voice or text."""


@dataclasses.dataclass(frozen=True)
class Phoneme:
    """One sound of an utterance.

    Attributes:
        name: espeak's mnemonic without stress mark; a pause begins with `_`.
        start: Seconds from the start of the utterance.
        stress: 0 none, 1 secondary, 2 primary.
    """

    name: str
    start: float
    stress: int


class _Identifier(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identifier),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def synthesise(text: str, voice: str, rate: int) -> tuple[np.ndarray, list[Phoneme]]:
    """Speaks a text on one note of `MONOTONE` Hz.

    The library is loaded afresh for every utterance (0.6 ms): it keeps counters from one utterance
    to the next that even its own initialisation leaves alone, and they change the sound a little.

    Args:
        text: What to say.
        voice: espeak-ng's name of the language or accent, such as `en-us`.
        rate: Words a minute, 80 to 450.

    Returns:
        The waveform, float32 (n,) at `ESPEAK_RATE` in -1..1, and its phonemes in order.

    Raises:
        SpeechError: The library does not load, or does not know the voice.
    """
    pieces: list[np.ndarray] = []
    phonemes: list[Phoneme] = []

    def collect(samples, count: int, events) -> int:
        if samples and count > 0:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type:
            event = events[index]
            if event.type == _EVENT_PHONEME:
                phonemes.append(_phoneme(event.id.string, event.sample))
            elif event.type == _EVENT_CLAUSE_END:
                phonemes.append(Phoneme("_|", event.sample / ESPEAK_RATE, 0))
            index += 1
        return 0

    callback = _Callback(collect)
    encoded = text.encode()
    with _lock:
        library = _load()
        try:
            library.espeak_SetSynthCallback(callback)
            library.espeak_ng_SetRandSeed(ctypes.c_long(1))
            library.espeak_ng_SetConstF0(MONOTONE)
            if library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise SpeechError(f"espeak-ng has no voice {voice!r}.")
            for parameter, value in ((_RATE, rate), (_VOLUME, 70), (_PITCH, 50), (_RANGE, 50)):
                library.espeak_SetParameter(parameter, int(value), 0)
            status = library.espeak_Synth(
                encoded, ctypes.c_size_t(len(encoded) + 1), 0, 1, 0, _UTF8, None, None
            )
        finally:
            library.espeak_Terminate()
            handle = library._handle
            del library
            _ctypes.dlclose(handle)
    if status != 0 or not pieces:
        raise SpeechError(f"espeak-ng could not speak {text[:60]!r} as {voice!r}.")
    waveform = np.concatenate(pieces).astype(np.float32) / 32768
    return waveform, phonemes


def _load() -> ctypes.CDLL:
    try:
        import espeakng_loader

        path, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
        library = ctypes.CDLL(path)
    except (ImportError, OSError, RuntimeError) as error:
        raise SpeechError(
            f"espeak-ng does not load ({error}). Install it: pip install espeakng-loader"
        ) from error
    started = library.espeak_Initialize(
        _SYNCHRONOUS, 0, str(data).encode(), _PHONEME_EVENTS_DO_NOT_EXIT
    )
    if started != ESPEAK_RATE:
        raise SpeechError(f"espeak-ng does not start with its data in {data}.")
    return library


def _phoneme(string: bytes, sample: int) -> Phoneme:
    name = string.decode("utf-8", "replace")
    stress = {"'": 2, ",": 1}.get(name[:1], 0)
    return Phoneme(name.lstrip("',%="), sample / ESPEAK_RATE, stress)
