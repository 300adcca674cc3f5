"""Evaluation: measures on synthetic pairs, oracles, few people, and the corpus of a run."""

import json
import types

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers import demo, evaluation, face_crop, face_features, media
from helpers import training as training_room
from helpers.archipelago.islanders import islander
from helpers.measuring import attributes, oracles, report, retrieval
from helpers.measuring import measures as m

SIZE = 128


def _mix(inputs, seed):
    """A smooth random function from inputs to features."""
    random = np.random.default_rng(seed)
    first = random.standard_normal((inputs.shape[1], 64)) / np.sqrt(inputs.shape[1])
    return np.tanh(inputs @ first) @ random.standard_normal((64, SIZE)) / 8


def _face_features(numbers):
    """Faces that depend on the shared latents and on much else."""
    latents = np.stack([oracles.shared_latents(number) for number in numbers])
    own = np.stack([np.random.default_rng(n).standard_normal(SIZE) for n in numbers])
    return (0.1 * (_mix(latents, 1) + 0.5 * own)).astype(np.float32)


@pytest.fixture(scope="module")
def training():
    numbers = np.arange(1500)
    people = [islander(int(number)) for number in numbers]
    return oracles.TrainingIslanders(
        numbers,
        _face_features(numbers),
        np.array([person.sex for person in people]),
        np.array([person.age for person in people], np.float32),
    )


@pytest.fixture(scope="module")
def reader(training):
    return face_features.AttributeReader.fit(training.features, training.sex, training.age)


@pytest.fixture(scope="module")
def latent(training):
    """What the latent oracle predicts for the test islanders."""
    return oracles.oracle_features("latent", TEST_NUMBERS, training)


def _measured(numbers, predicted=None, reconstructed=None):
    people = [islander(number) for number in numbers]
    features = _face_features(numbers)
    return m.Measured(
        [f"islander-{number}" for number in numbers],
        np.array([person.sex for person in people]),
        np.array([person.age for person in people]),
        features if predicted is None else predicted,
        features,
        features if reconstructed is None else reconstructed,
    )


TEST_NUMBERS = range(1_000_000, 1_000_300)


def test_the_latent_oracle_beats_those_who_know_less(training, reader, latent):
    result = m.assess(_measured(TEST_NUMBERS), training.centre, reader, 40, {"latent": latent})
    oracle, sex = result["oracles"]["latent"], result["oracles"]["sex"]
    demographic = result["oracles"]["demographic"]
    for gallery in m.GALLERIES:
        found = oracle[gallery]
        assert found["interval"]["10"][0] > found["chance"]["10"], gallery
    assert demographic["unmatched"]["recall"]["10"] > 2 * sex["unmatched"]["recall"]["10"]
    assert oracle["unmatched"]["recall"]["10"] > demographic["unmatched"]["recall"]["10"]
    assert sex["unmatched"]["recall"]["10"] == pytest.approx(2 * 10 / 300, rel=0.05)
    assert sex["sex_matched"]["recall"] == sex["sex_matched"]["chance"]
    assert (
        demographic["sex_and_age_matched"]["recall"] == demographic["sex_and_age_matched"]["chance"]
    )


def test_perfect_features_reach_everything_and_the_report_is_json(training, reader):
    result = m.assess(_measured(TEST_NUMBERS), training.centre, reader, 40)
    assert all(result["retrieval"][g]["recall"]["1"] == 1 for g in m.GALLERIES)
    assert result["faces_found"] == 1
    assert result["chance"]["10"] == round(10 / 300, 5)
    assert result["similarity"]["cosine"]["true"] == [1.0, 0.0]
    assert result["skipped"] == []
    assert json.loads(json.dumps(result)) == result


def test_the_voice_oracle_uses_the_parameters_of_the_voice(training, latent, monkeypatch):
    def parameters(number):  # what a voice gives away: all shared latents but the island, noisily
        noise = np.random.default_rng(number + 7).standard_normal(5)
        return (oracles.shared_latents(number)[:5] + 0.3 * noise).astype(np.float32)

    monkeypatch.setattr(oracles, "voice_parameters", parameters)
    voice = oracles.oracle_features("voice", TEST_NUMBERS, training)
    result = m.assess(
        _measured(TEST_NUMBERS), training.centre, None, 40, {"voice": voice, "latent": latent}
    )
    recall = {k: v["unmatched"]["recall"]["10"] for k, v in result["oracles"].items()}
    assert result["oracles"]["voice"]["unmatched"]["interval"]["10"][0] > result["chance"]["10"]
    assert recall["latent"] > recall["voice"]


def test_the_oracles_look_past_what_faces_differ_in_for_other_reasons():
    random = np.random.default_rng(0)
    inputs = random.standard_normal((900, 6))
    heard = inputs @ random.standard_normal((6, 40))
    other = random.standard_normal((900, 4)) @ random.standard_normal((4, 40))
    faces = heard + 4 * other + 0.5 * random.standard_normal((900, 40))
    known, asked = slice(600), slice(600, 900)
    plain = inputs[asked] @ np.linalg.lstsq(inputs[known], faces[known], rcond=None)[0]
    found = [
        retrieval.retrieval(
            predicted, faces[asked], [str(number) for number in range(300)], faces[known].mean(0)
        ).recall[10]
        for predicted in (plain, oracles.regress(inputs[known], faces[known], inputs[asked]))
    ]
    assert found[1] > 1.3 * found[0]


def test_apparent_sex_by_hand():
    result = attributes.apparent_sex(np.array(list("FFFM")), np.array([0.1, 0.2, 0.9, 0.8]))
    assert result["confusion"] == [[2, 1], [0, 1]]
    assert result["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2, abs=1e-4)
    assert result["constant_guess"] == 0.5


def test_apparent_age_by_hand():
    result = attributes.apparent_age(
        np.array([20.0, 40, 60]), np.array([25.0, 40, 50]), usual_age=40
    )
    assert result["mean_absolute_error"] == 5
    assert result["constant_guess"] == pytest.approx(40 / 3, abs=0.01)
    assert result["correlation"] > 0.98


def test_faces_that_are_no_faces_are_counted_and_left_out(training, reader):
    reconstructed = _face_features(TEST_NUMBERS)
    reconstructed[::3] = np.nan
    result = m.assess(_measured(TEST_NUMBERS, None, reconstructed), training.centre, reader, 40)
    assert result["faces_found"] == pytest.approx(2 / 3, abs=1e-3)
    assert result["apparent"]["sex"]["count"] == 200


def test_decades():
    assert attributes.decades(np.array([18, 20, 29.9, np.nan])).tolist() == [
        "10s",
        "20s",
        "20s",
        "",
    ]


@pytest.mark.parametrize("count", [1, 2, 4, 5, 7])
def test_few_people_give_fewer_measures_and_a_sentence(count, training, reader):
    numbers = range(1_000_000, 1_000_000 + count)
    result = m.assess(_measured(numbers), training.centre, reader, 40)
    assert ("unmatched" in result["retrieval"]) == (count >= 5)
    assert ("similarity" in result) == (count >= 2)
    if count < 5:
        assert any(f"at least 5 people, here are {count}" in line for line in result["skipped"])
    assert report.format_report(result)


def test_people_of_unknown_sex_and_age_are_measured_without_them(training, reader):
    measured = _measured(range(1_000_000, 1_000_010))
    nobody = m.Measured(
        measured.identities,
        np.full(10, ""),
        np.full(10, np.nan),
        measured.predicted,
        measured.features,
        measured.reconstructed,
    )
    result = m.assess(nobody, training.centre, reader, None)
    assert list(result["retrieval"]) == ["unmatched"]
    assert result["oracles"] == {} and result["apparent"] == {}
    assert any("sex matched" in line for line in result["skipped"])


def test_the_report_names_gallery_chance_interval_and_oracles(training, reader, latent):
    text = report.format_report(
        m.assess(_measured(TEST_NUMBERS), training.centre, reader, 40, {"latent": latent})
    )
    for part in ("300 faces of 300 people", "chance", "95 % interval", "latent oracle", "knows"):
        assert part in text
    assert "sex and age matched" in text and "constant guess" in text


def test_missing_released_features_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="islander_features.parquet is missing"):
        oracles.training_islanders(tmp_path / "islander_features.parquet")


def test_only_training_rows_of_the_released_features_are_used(tmp_path):
    path = tmp_path / "islander_features.parquet"
    features = np.arange(8, dtype=np.float32).reshape(4, 2)
    columns = {"number": [0, 9, 1, 2], "feature": list(features), "sex": list("FMFM")}
    columns |= {"age": [20.0, 30, 40, 50], "split": ["train", "validation", "train", "train"]}
    pq.write_table(pa.table(columns), path)
    known = oracles.training_islanders(path)
    assert known.numbers.tolist() == [0, 1, 2]
    assert known.features.tolist() == features[[0, 2, 3]].tolist()
    assert known.centre.tolist() == features[[0, 2, 3]].mean(0).tolist()


def test_wrong_arguments_are_refused_at_once():
    with pytest.raises(ValueError, match="gallery=1"):
        evaluation.evaluate_released(1)
    with pytest.raises(ValueError, match="first_islander=-1"):
        evaluation.evaluate_released(10, -1)


class _Tables:
    """Stands in for the workspace: tables that are there already."""

    def __init__(self, settings, **tables):
        self.settings, self.tables = settings, tables

    def require(self, name):
        return types.SimpleNamespace(rows=lambda columns: iter(self.tables[name]))


def _run_on(
    people, corpus="my_videos", weights="released", split="test", features="dlib", seconds=6.5
):
    """A session whose tables hold two frames and one voice for each of some people."""
    crop = face_crop.to_jpeg(np.full((224, 224, 3), 128, np.uint8))
    faces, speech, manifest, clips = [], [], [], []
    seen = _face_features(range(people)) if people else []
    for number in range(people):
        known = {"clip_id": f"c{number}", "speaker_id": f"p{number}", "split": split}
        for frontality, shift in ((0.2, 1.0), (0.9, 0.0)):
            faces.append(
                {
                    **known,
                    "status": "ok",
                    "frontality": frontality,
                    "feature": (seen[number] + shift).tolist(),
                    "crop": crop,
                    "landmarks": [float(frontality)] * 136,
                }
            )
        sound = media.to_int16(np.full(96000, number / 1000, np.float32)).tobytes()
        speech.append({**known, "status": "ok", "waveform": sound})
        clips.append({"clip_id": f"c{number}", "duration_s": seconds})
        manifest.append(
            types.SimpleNamespace(
                **known, sex="FM"[number % 2], age="30", group="north", language="en"
            )
        )
    nothing = {"speaker_id": "x", "split": split, "status": "rejected", "frontality": None}
    faces.append({**nothing, "clip_id": "no-face", "feature": None, "crop": None})
    settings = types.SimpleNamespace(corpus=corpus, weights=weights, features=features)
    return types.SimpleNamespace(
        workspace=_Tables(settings, faces=faces, speech=speech, clips=clips),
        manifest=types.SimpleNamespace(rows=manifest),
        settings=settings,
    )


def _predicted(waveforms):
    numbers = np.round(waveforms[:, 0] * 1000).astype(int)
    return _face_features(numbers) if len(numbers) else np.zeros((0, SIZE), np.float32)


def _drawn(features):
    return np.clip(
        np.zeros((len(features), 128, 128, 3), np.float32) + features[:, :1, None, None], 0, 1
    )


_encoder = types.SimpleNamespace(
    name="voice_encoder-of-dlib", outputs=[np.zeros((1, SIZE))], predict_on_batch=_predicted
)
_decoder = types.SimpleNamespace(
    name="face_decoder-of-dlib",
    inputs=[np.zeros((1, SIZE))],
    outputs=[np.zeros((1, 128, 128, 3))],
    predict_on_batch=_drawn,
)


@pytest.fixture
def without_detector(monkeypatch):
    monkeypatch.setattr(face_crop, "faces_in", lambda images, network: [None] * len(images))
    monkeypatch.setattr(demo, "centre", lambda encoder: np.zeros(SIZE))


def test_pairs_take_the_most_frontal_face_of_each_clip():
    pairs = evaluation.read_pairs(_run_on(6), _encoder, _decoder)
    assert [pair.clip_id for pair in pairs] == [f"c{n}" for n in range(6)]
    for number, pair in enumerate(pairs):
        assert pair.feature == pytest.approx(_face_features([number])[0], abs=1e-6)
        assert pair.predicted == pytest.approx(pair.feature, abs=1e-6)
        assert pair.face.shape == (128, 128, 3) and pair.crop.shape == (224, 224, 3)
        assert (pair.sex, pair.age) == ("FM"[number % 2], 30)


def test_a_corpus_is_measured_with_perfect_recall_for_perfect_features(without_detector):
    result = evaluation.evaluate_tables(_run_on(12), _encoder, _decoder)
    assert result["retrieval"]["unmatched"]["recall"]["1"] == 1
    assert result["gallery"] == 12 and result["faces_found"] == 0
    assert json.loads(json.dumps(result)) == result


@pytest.mark.parametrize(("seconds", "measured"), [(6.5, True), (3.0, False)])
def test_a_voice_that_repeats_itself_is_no_longer_one(without_detector, seconds, measured):
    result = evaluation.evaluate_tables(_run_on(12, seconds=seconds), _encoder, _decoder)
    assert ("lengths" in result) == ("consistency" in result) == measured


def test_features_of_another_kind_are_refused_by_name():
    with pytest.raises(training_room.WrongFeatures, match="'dlib'.*'vggface'"):
        evaluation.read_pairs(_run_on(6, features="vggface"), _encoder, _decoder)


def test_a_corpus_of_ones_own_without_test_rows_is_measured_whole(without_detector):
    result = evaluation.evaluate_tables(_run_on(7, split="train"), _encoder, _decoder)
    assert result["gallery"] == 7
    assert any("all are measured" in note for note in result["notes"])


def test_rows_that_were_trained_on_are_never_measured(without_detector):
    session = _run_on(7, weights="trained", split="train")
    result = evaluation.evaluate_tables(session, _encoder, _decoder)
    assert result["gallery"] == 0
    assert "no pair" in evaluation.format_report(result)


@pytest.mark.parametrize("people", [0, 1, 2])
def test_a_tiny_corpus_never_crashes(people, without_detector):
    result = evaluation.evaluate_tables(_run_on(people), _encoder, _decoder)
    assert result["skipped"]
    assert evaluation.format_report(result)


@pytest.fixture
def released(training, reader, monkeypatch):
    """Stands in for the released weights: a voice gives away the latents, somewhat noisily."""

    def measure(task):
        numbers, _ = task
        features = _face_features(numbers)
        noise = np.random.default_rng(numbers[0]).standard_normal(features.shape)
        lost = np.array(numbers)[:, None] % 50 == 0  # no face is found in these pictures
        return {
            "number": np.array(numbers),
            "predicted": features + 0.2 * noise.astype(np.float32),
            "features": np.where(lost, np.nan, features),
            "reconstructed": features,
        }

    monkeypatch.setattr(evaluation, "measure_islanders", measure)
    monkeypatch.setattr(oracles, "training_islanders", lambda: training)
    monkeypatch.setattr(face_features, "released_attribute_reader", lambda: reader)
    monkeypatch.setattr(demo, "released_models", lambda: (None, None))
    monkeypatch.setattr(demo, "centre", lambda encoder: training.centre)


def test_the_released_weights_are_measured_on_as_many_islanders_as_asked_for(released):
    result = evaluation.evaluate_released(100, workers=1, progress=False)
    assert result["first_islander"] == 1_000_000
    assert (result["gallery"], result["left_out"]) == (98, 2)
    assert result["notes"] == []
    assert set(result["oracles"]) == {"sex", "demographic", "voice", "latent"}
    assert set(result["retrieval"]) == set(m.GALLERIES)
    unmatched = result["retrieval"]["unmatched"]
    assert unmatched["interval"]["10"][0] > unmatched["chance"]["10"] == round(10 / 98, 5)
    assert json.loads(json.dumps(result)) == result


def test_islanders_the_weights_may_know_are_announced(released):
    result = evaluation.evaluate_released(10, 999_995, workers=1, progress=False)
    assert "may know these" in result["notes"][0]
    assert "may know these" in evaluation.format_report(result)
