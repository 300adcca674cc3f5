"""What the face decoder learns from: features with shapes and textures.

Some faces are mixed: the mean of two people's features, with the mean of their shapes and textures.
A voice leaves open which of many people is speaking, so the decoder should know means of people.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from keras import ops

from helpers.networks import face_warp
from helpers.networks.decoder_networks import LINEAR_AXES, LINEAR_SIZE, Linear, Strengthen
from helpers.settings import ALIGNED_SIZE
from helpers.training.pairs import Faces, Shuffled

_NOISE = 0.1
"""Standard deviation of the noise on each number of a feature, as a share of its own."""
_CAUTION = 20.0
"""How many features' worth of doubt the linear fit starts with."""
_BATCH = 64


@dataclasses.dataclass
class Targets:
    """Faces taken apart.

    Attributes:
        faces: The faces and their features.
        which: int, (n,): which of the pictures below belongs to each feature. Several features of
            one person may share a picture.
        images: uint8, (m, 128, 128, 3): the pictures, each once.
        landmarks: float32, (m, 68, 2), in pixels.
        textures: uint8, (m, 128, 128, 3): the pictures with the landmarks at the mean shape.
    """

    faces: Faces
    which: np.ndarray
    images: np.ndarray
    landmarks: np.ndarray
    textures: np.ndarray

    def __len__(self) -> int:
        """Returns the number of features."""
        return len(self.which)

    def mean_shape(self) -> np.ndarray:
        """Returns the mean landmarks of the faces and of their mirror images, (68, 2)."""
        mean = self.landmarks.mean(axis=0)
        return (mean + face_warp.mirror_landmarks(mean)) / 2

    def mean_texture(self) -> np.ndarray:
        """Returns the mean texture of the faces and of their mirror images, 0 to 1."""
        mean = sum(texture.astype("float64") for texture in self.textures) / len(self.textures)
        return ((mean + mean[:, ::-1]) / 510).astype("float32")

    def deviation(self) -> float:
        """Returns how far one number of a feature typically is from its mean."""
        return float(self.faces.features.std(axis=0).mean())

    def one_each(self) -> Targets:
        """Returns these faces with the first feature of each picture only."""
        first = np.unique(self.which, return_index=True)[1]
        faces = Faces(
            self.faces.images[first],
            self.faces.features[first],
            [self.faces.speakers[row] for row in first],
            [self.faces.clips[row] for row in first],
        )
        return dataclasses.replace(self, faces=faces, which=self.which[first])

    def start(self) -> dict:
        """Returns the arguments that let `generator` start from the mean of these faces."""
        return {
            "feature_size": self.faces.features.shape[1],
            "centre": self.faces.centre(),
            "mean_face": self.mean_texture(),
            "mean_shape": self.mean_shape(),
            "deviation": self.deviation(),
            "linear": self.linear(),
        }

    def linear(self) -> Linear:
        """Fits shapes and textures to features by ridge regression, for a decoder to start from.

        Along the principal axes of the features the regression falls apart into one division each.
        """
        features = (self.faces.features - self.faces.centre()) / self.deviation()
        features = ops.convert_to_numpy(Strengthen()(features))
        spread, axes = np.linalg.eigh(features.T @ features)
        axes = axes[:, ::-1][:, : min(features.shape[1], LINEAR_AXES)]
        spread = np.maximum(spread[::-1][: axes.shape[1]], 0)
        scores = np.zeros((len(self.images), axes.shape[1]), "float32")
        np.add.at(scores, self.which, features @ axes)
        shapes = scores.T @ (self.landmarks - self.mean_shape()).reshape(len(scores), -1)
        mean = _logits(self.mean_texture()[None])
        textures = np.zeros((axes.shape[1], 3 * LINEAR_SIZE**2), "float32")
        for start in range(0, len(scores), _BATCH):
            some = slice(start, start + _BATCH)
            changes = _logits(self.textures[some].astype("float32") / 255) - mean
            textures += scores[some].T @ changes
        doubt = (spread + _NOISE**2 * len(features) + _CAUTION)[:, None]
        return Linear(axes.astype("float32"), shapes / doubt, textures / doubt)


def _logits(textures: np.ndarray) -> np.ndarray:
    """Textures (n, 128, 128, 3), 0 to 1, as the linear part paints them: (n, 64 * 64 * 3)."""
    count, side = len(textures), ALIGNED_SIZE // LINEAR_SIZE
    small = textures.reshape(count, LINEAR_SIZE, side, LINEAR_SIZE, side, 3).mean(axis=(2, 4))
    small = np.clip(small, 0.02, 0.98)
    return np.log(small / (1 - small)).reshape(count, -1)


def targets_of(faces: Faces) -> Targets:
    """Takes faces apart; a picture that occurs several times is looked at once."""
    first: dict[bytes, int] = {}
    which = np.array([first.setdefault(image.tobytes(), len(first)) for image in faces.images], int)
    images = np.empty((len(first), *faces.images.shape[1:]), "uint8")
    images[which] = faces.images
    points = face_warp.landmarks_of(images)
    textures = np.empty_like(images)
    for start in range(0, len(images), _BATCH):
        some = slice(start, start + _BATCH)
        moved = face_warp.texture_of(images[some].astype("float32"), points[some])
        textures[some] = np.round(np.clip(np.asarray(moved), 0, 255))
    return Targets(faces, which, images, points, textures)


class TargetBatches(Shuffled):
    """Batches of features and what the decoder should make of them.

    Half of the faces are mirrored, and the features get a little noise: both leave the person the
    same, and with them the network has more to learn from than it could learn by heart. Some faces
    are mixed with another one.

    Args:
        targets: What to learn from; None of it is changed.
        batch_size: Faces in a batch; what is left over at the end waits for the next epoch.
        mixed: Share of the faces that are mixed with another one.
        noise: Standard deviation of the noise on each number of the feature, as a share of the
            features' own.
        seed: Seed of order, mirroring, mixing and noise.
    """

    def __init__(
        self,
        targets: Targets,
        batch_size: int,
        mixed: float = 0.15,
        noise: float = _NOISE,
        seed: int = 0,
    ) -> None:
        super().__init__(len(targets), batch_size, seed)
        self.targets, self.mixed = targets, mixed
        self.noise = noise * targets.deviation()
        self.centre = targets.faces.centre()

    def identity(self) -> dict[str, object]:
        """Adds whose faces they are."""
        return {**super().identity(), "people and features": self.targets.faces.fingerprint()}

    def __getitem__(self, index: int):
        """Returns features (batch, n) and a dict of what belongs to them.

        `landmarks` (batch, 68, 2) and `texture` (batch, 128, 128, 3), 0 to 1; `image`, the picture
        of the person or, where two are mixed, of the first of them; `mixed` (batch,), 1 there.
        """
        chosen, random = self.chosen(index)
        made = [self._mixture(row, random) for row in chosen]
        features, points, textures, images, mixed = map(np.stack, zip(*made, strict=True))
        mirrored = random.random(len(chosen)) < 0.5
        points[mirrored] = face_warp.mirror_landmarks(points[mirrored])
        for pictures in (textures, images):
            pictures[mirrored] = pictures[mirrored, :, ::-1]
        return features, {
            "landmarks": points,
            "texture": textures,
            "image": images,
            "mixed": mixed.astype("float32"),
        }

    def _mixture(self, row: int, random: np.random.Generator) -> tuple:
        feature, points, texture, image = self._face(row)
        feature = feature + self.noise * random.standard_normal(feature.shape, "float32")
        mixed = random.random() < self.mixed
        if mixed:
            other = self._face(random.integers(len(self.targets)))
            feature, points, texture = (
                (one + two) / 2 for one, two in zip((feature, points, texture), other, strict=False)
            )
        return feature, points, texture, image, mixed

    def _face(self, row: int) -> tuple[np.ndarray, ...]:
        targets, picture = self.targets, self.targets.which[row]
        return (
            targets.faces.features[row],
            targets.landmarks[picture],
            targets.textures[picture].astype("float32") / 255,
            targets.images[picture].astype("float32") / 255,
        )
