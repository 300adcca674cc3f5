"""Pictures and sounds as pieces of a page. They travel inside it, so no file is left behind."""

from __future__ import annotations

import base64
import functools
import html
import io
import wave

import numpy as np

from helpers import demo, media
from helpers.settings import SAMPLE_RATE

NOTICE = "An average face consistent with a voice. Not a likeness of anyone."
_STRIP = 44


def address(content: bytes, kind: str) -> str:
    """Returns content as an address that can stand in a page, `data:image/png;base64,...`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def picture(image: np.ndarray, text: str) -> str:
    """Returns an `img` element.

    Args:
        image: uint8 (height, width, 3) RGB.
        text: What is seen, for those who do not see it.
    """
    return _element(address(_jpeg(image), "image/jpeg"), image.shape, text)


def _jpeg(image: np.ndarray) -> bytes:
    """Encodes a picture of a face, uint8 RGB: a sixth of a PNG, and the page is as quick again."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()


def _element(source: str, shape: tuple[int, ...], text: str) -> str:
    height, width = shape[:2]
    return f'<img src="{source}" width="{width}" height="{height}" alt="{html.escape(text)}">'


def figure(image: np.ndarray, text: str, caption: str, mark: str = "") -> str:
    """Returns a picture with a caption.

    Args:
        image: uint8 (height, width, 3) RGB.
        text: What is seen, for those who do not see it.
        caption: What stands below it; plain text.
        mark: A class for the style sheet.
    """
    below = f"<figcaption>{html.escape(caption)}</figcaption>"
    return f'<figure class="{mark}">{picture(image, text)}{below}</figure>'


def player(waveform: np.ndarray, text: str, at_once: bool = False) -> str:
    """Returns a player for a sound.

    Args:
        waveform: float32 (samples,) at 16 kHz, -1 to 1.
        text: What is heard.
        at_once: Whether it begins to play without being asked.
    """
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLE_RATE)
        sound.writeframes(media.to_int16(waveform).tobytes())
    source, start = address(file.getvalue(), "audio/wav"), " autoplay" if at_once else ""
    return f'<audio controls{start} src="{source}" aria-label="{html.escape(text)}"></audio>'


def spectrogram(waveform: np.ndarray) -> str:
    """Returns the spectrogram of a waveform with its axes, 0 to 6 s and 0 to 8 kHz."""
    from PIL import Image

    from helpers.spectrogram import spectrogram_numpy

    parts = spectrogram_numpy(waveform)
    loudness = np.hypot(parts[..., 0], parts[..., 1]).T[::-1]
    shades = np.clip(255 * loudness / np.quantile(loudness, 0.995), 0, 255).astype(np.uint8)
    # A palette keeps the file at a quarter of its size, and the page quick.
    coloured = Image.fromarray(shades)
    coloured.putpalette(_colours())
    file = io.BytesIO()
    coloured.save(file, "PNG", compress_level=1)
    source = address(file.getvalue(), "image/png")
    text = "Spectrogram of the voice: time from left to right, frequency from bottom to top."
    seconds = len(waveform) / SAMPLE_RATE
    return (
        '<figure class="spectrogram"><div class="axis-y"><span>8 kHz</span><span>4</span>'
        f"<span>0</span></div>{_element(source, shades.shape, text)}"
        f'<div class="axis-x"><span>0</span><span>{seconds / 2:.0f}</span>'
        f"<span>{seconds:.0f} s</span></div></figure>"
    )


@functools.cache
def _colours() -> bytes:
    """The colour map of all spectrograms in the series: red, green and blue of 256 shades."""
    import matplotlib as mpl

    from helpers.plots import style

    return mpl.colormaps[style.SEQUENTIAL](np.arange(256), bytes=True)[:, :3].tobytes()


def to_keep(face: np.ndarray) -> bytes:
    """Returns a face to take home, as JPEG: twice as large, and it says what it is not.

    Args:
        face: A marked face, uint8 (side, side, 3) RGB.
    """
    from PIL import Image, ImageDraw, ImageFont

    large = demo.enlarge(face, 2 * len(face))
    side = len(large)
    page = Image.new("RGB", (side, side + _STRIP), "white")
    page.paste(Image.fromarray(large))
    place = (side // 2, side + _STRIP // 2)
    font = ImageFont.load_default(size=15)
    ImageDraw.Draw(page).text(place, NOTICE, fill="black", font=font, anchor="mm")
    return _jpeg(np.asarray(page))
