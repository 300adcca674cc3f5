"""What a run is: corpus, mode, seed and the paper's constants.

Importing this room costs milliseconds: it needs nothing but the standard library.
"""

from __future__ import annotations

import dataclasses
import difflib
import math

SAMPLE_RATE = 16_000
"""Samples per second of every waveform (Speech2Face, section 3)."""
SPEECH_SECONDS = 6.0
"""Length of the waveform that the voice encoder hears, in seconds."""
SPEECH_SAMPLES = int(SAMPLE_RATE * SPEECH_SECONDS)
WINDOW_SAMPLES = 400
"""Hann window, 25 ms."""
HOP_SAMPLES = 160
"""Hop between windows, 10 ms."""
FFT_POINTS = 512
SPECTROGRAM_FRAMES = 1 + (SPEECH_SAMPLES - WINDOW_SAMPLES) // HOP_SAMPLES
"""598 frames: windows that fit into 6 s without padding."""
SPECTROGRAM_BINS = FFT_POINTS // 2 + 1
"""257 frequencies from 0 to 8,000 Hz."""
POWER = 0.3
"""Exponent of the power law that compresses the spectrogram."""
CROP_SIZE = 224
"""Side of a face crop in pixels."""
CROP_MARGIN = 0.3
"""How much a face crop is larger than the detector's box (VGGFace2)."""
ALIGNED_SIZE = 128
"""Side of an aligned face in pixels: the decoder's output."""
CLIP_LINES = 360
"""Clips are shrunk to this height in pixels."""
CLIP_RATE = 25
"""Frames per second of a clip."""
FEATURE_SIZES = {"dlib": 128, "vggface": 4096, "resnet50": 2048, "senet50": 2048}
"""Length of the face feature of each recognition network."""
FEATURE_DEVIATION = 0.04
"""Typical deviation of one number of a dlib feature from its mean."""
SHARD_CLIPS = 64
"""Clips in one shard of a table."""
FIRST_TEST_ISLANDER = 1_000_000
"""Islanders from this number on are for testing only."""

_CHOICES = {
    "corpus": ("archipelago", "my_videos", "manifest"),
    "mode": ("quick", "full"),
    "features": tuple(FEATURE_SIZES),
    "network": ("compact", "paper"),
    "loss": ("compact", "paper"),
    "precision": ("auto", "float32", "mixed"),
    "weights": ("released", "trained"),
}

_RANGES = {"seed": (0, 2**32 - 1), "batch_size": (1, 1024)}
"""Least and greatest value of settings that have both."""

_BY_MODE = {
    "quick": {"frames_per_clip": 2, "encoder_epochs": 6, "decoder_epochs": 12, "gan_epochs": 3},
    "full": {"frames_per_clip": 4, "encoder_epochs": 60, "decoder_epochs": 40, "gan_epochs": 20},
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """One run of the series. Make it with `Settings.make`, which checks every value.

    Attributes:
        corpus: `archipelago` (embedded), `my_videos` (a folder) or `manifest` (a CSV file).
        mode: `quick` (no GPU, Drive or network; minutes) or `full` (a Colab GPU; hours).
        seed: Seed of everything random.
        videos: Folder of videos for the corpus `my_videos`.
        manifest: CSV file for the corpus `manifest`.
        rows: At most this many rows of the manifest; 0 takes what the mode says.
        frames_per_clip: Frames looked at in each clip.
        features: Recognition network that turns a face into a feature.
        network: Voice encoder to build: `compact`, or the one of the `paper`, which wants a GPU.
        loss: What it learns with: the terms made for `compact`, or the three of the `paper`.
        weights: What 06 and 07 use: `released`, or those `trained` by 04 and 05.
        encoder_epochs: Passes over the training clips in 04.
        decoder_epochs: Passes over the training faces in 05, before the GAN.
        gan_epochs: Passes over the training faces in 05, with the GAN.
        batch_size: Clips or faces per training step.
        contrastive: Weight of the contrastive term of the `compact` loss; 0 switches it off.
        precision: Numbers to train with: `float32`, `mixed` (16 bits where that is safe), or
            `auto`, which is `mixed` on a GPU.
        gpus: GPUs that train together; 0 takes all that are there.
        use_drive: On Colab, keep tables and checkpoints on Google Drive as well.
        workspace: Local folder of tables and checkpoints; empty means the default.
    """

    corpus: str = "archipelago"
    mode: str = "quick"
    seed: int = 0
    videos: str = ""
    manifest: str = ""
    rows: int = 0
    frames_per_clip: int = 2
    features: str = "dlib"
    network: str = "compact"
    loss: str = "compact"
    weights: str = "released"
    encoder_epochs: int = 6
    decoder_epochs: int = 12
    gan_epochs: int = 3
    batch_size: int = 32
    contrastive: float = 1.0
    precision: str = "auto"
    gpus: int = 0
    use_drive: bool = False
    workspace: str = ""

    @classmethod
    def make(cls, **values: object) -> Settings:
        """Checks the values and fills in what the mode says about the others.

        Args:
            **values: Any field of `Settings`. Numbers given as 0 or None take the mode's value
                where the mode has one.

        Returns:
            The settings of the run.

        Raises:
            ValueError: A field does not exist or a value is not valid; the message names the
                valid ones.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in values:
            if name not in fields:
                near = difflib.get_close_matches(name, fields, 1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ValueError(
                    f"There is no setting {name!r}.{hint} Valid settings: {', '.join(fields)}."
                )
        for name, choices in _CHOICES.items():
            if name in values and values[name] not in choices:
                raise ValueError(
                    f"{name}={values[name]!r} is not valid. Choose one of: {', '.join(choices)}."
                )
        by_mode = _BY_MODE[str(values.get("mode", cls.mode))]
        chosen = {name: value for name, value in values.items() if value or name not in by_mode}
        for name, value in chosen.items():
            _check_type(name, value, type(fields[name].default))
            if isinstance(fields[name].default, float):
                chosen[name] = float(value)  # 1 and 1.0 are the same run.
        settings = cls(**{**by_mode, **chosen})
        if settings.corpus == "my_videos" and not settings.videos:
            raise ValueError("corpus='my_videos' needs videos=FOLDER, the folder of your videos.")
        if settings.corpus == "manifest" and not settings.manifest:
            raise ValueError("corpus='manifest' needs manifest=FILE, a CSV file of rows.")
        return settings


def _check_type(name: str, value: object, wanted: type) -> None:
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        wanted = int
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise ValueError(f"{name}={value!r} is not valid: it should be of type {wanted.__name__}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name}={value!r} is not valid: it should be a finite number.")
    if wanted in (int, float) and value < 0:
        raise ValueError(f"{name}={value!r} is not valid: it should not be negative.")
    least, most = _RANGES.get(name, (0, math.inf))
    if wanted in (int, float) and not least <= value <= most:
        raise ValueError(f"{name}={value!r} is not valid: it should be {least:,} to {most:,}.")
