"""How much goes into the released weights."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much goes into the released weights.

    Attributes:
        islanders: How many, from number 0 on; one in ten is for validation.
        encoder_epochs: Passes over all recordings.
        register_epochs: Further passes, with the recordings in other registers.
        decoder_epochs: Passes over all faces, before the GAN.
        face_pictures: Pictures that the face network learns from.
        gan_epochs: Passes over one face of each islander, with the GAN.
        seed: Seed of all trainings.
    """

    islanders: int = 6400
    encoder_epochs: int = 9
    register_epochs: int = 1
    decoder_epochs: int = 4
    face_pictures: int = 12_800
    gan_epochs: int = 1
    seed: int = 0

    def command(self) -> str:
        """Returns the command that makes the weights of these sizes."""
        options = (f"--{name.replace('_', '-')} {value}" for name, value in vars(self).items())
        return " ".join(("python -m helpers pretrain", *options))
