"""The smaller measures: languages, failures, maps, attributes, small galleries, decoded faces."""

import dataclasses
import json

import numpy as np
import pytest

from helpers.archipelago.islanders import ISLANDS, islander
from helpers.archipelago.sentences import VOICES
from helpers.measuring import attributes, embedding, failures, language, report, similarity, trials
from helpers.measuring import retrieval as r
from helpers.measuring.measures import Measured, assess

SIZE = 32


def _features(count, size=SIZE, seed=0):
    return np.random.default_rng(seed).standard_normal((count, size))


# --- retrieval: other galleries, some of the queries, ratios --------------------------------------


def test_a_small_gallery_is_what_drawing_small_galleries_gives():
    faces = _features(300)
    ranks = r.ranked(faces + 2.5 * _features(300, seed=1), faces, range(300))
    expected = {k: ranks.found_in(k, 100).mean() for k in (1, 10)}
    random, drawn = np.random.default_rng(0), {1: [], 10: []}
    for _ in range(60):
        some = random.permutation(300)[:100]
        found = r.ranked(faces[some] + 2.5 * _features(300, seed=1)[some], faces[some], some)
        for k in drawn:
            drawn[k].append(found.found(k).mean())
    for k in drawn:
        assert expected[k] == pytest.approx(np.mean(drawn[k]), abs=0.03)


def test_ten_of_a_thousand_is_another_question_than_ten_of_a_hundred():
    faces = _features(1000)
    ranks = r.ranked(faces + 4 * _features(1000, seed=1), faces, range(1000))
    small = r.in_small_gallery(ranks, 100)
    assert small["chance"]["10"] == 0.1 and ranks.summary().chance[10] == 0.01
    # Ten of a hundred is about the first tenth of the thousand.
    assert small["recall"]["10"] == pytest.approx(ranks.found(100).mean(), abs=0.03)
    assert small["recall"]["10"] > 2 * ranks.found(10).mean()
    assert r.in_small_gallery(ranks, 1001) is None


def test_all_of_a_gallery_is_the_gallery_itself():
    ranks = r.ranked(_features(50), _features(50, seed=1), range(50))
    assert ranks.found_in(5, 50) == pytest.approx(ranks.found(5))
    with pytest.raises(ValueError, match="needs 51 faces or more; here are 50"):
        ranks.found_in(5, 51)


def test_the_percentile_rank_has_an_interval_and_does_not_depend_on_the_gallery():
    results = []
    for count in (100, 800):
        faces = _features(count)
        results.append(r.retrieval(faces + 3 * _features(count, seed=1), faces, range(count)))
    small, large = results
    assert small.percentile_interval[0] < large.percentile_rank < small.percentile_interval[1]
    assert small.recall[10] > 2 * large.recall[10]


def test_some_queries_are_asked_of_the_whole_gallery():
    faces = _features(40)
    predicted = np.full((40, SIZE), np.nan)
    predicted[[3, 7]] = faces[[3, 7]]
    found = r.retrieval(predicted, faces, range(40), rows=[3, 7])
    assert (found.queries, found.gallery_size, found.candidates) == (2, 40, 40)
    assert found.recall[1] == 1
    with pytest.raises(ValueError, match="Row 4 of predicted"):
        r.retrieval(predicted, faces, range(40), rows=[3, 4])


def test_the_ratio_of_two_recalls_by_hand():
    faces = _features(100)
    half = np.where(np.arange(100)[:, None] % 2 == 0, faces, -faces)
    ranks, best = r.ranked(half, faces, range(100)), r.ranked(faces, faces, range(100))
    ratio = r.recall_ratio(ranks, best, 1)
    assert (ratio["recall"], ratio["yardstick"], ratio["ratio"]) == (0.5, 1.0, 0.5)
    assert ratio["interval"][0] < 0.5 < ratio["interval"][1]
    nothing = r.recall_ratio(ranks, r.ranked(-faces, faces, range(100)), 1)
    assert nothing["ratio"] is None and nothing["interval"] is None
    with pytest.raises(ValueError, match="same people"):
        r.recall_ratio(ranks, r.ranked(faces[:50], faces[:50], range(50)))


# --- similarity and attributes -------------------------------------------------------------------


def test_the_angle_belongs_to_the_cosine():
    first = np.array([[1.0, 0], [1, 0], [1, 0]])
    second = np.array([[2.0, 0], [0, 3], [-1, 0]])
    assert similarity.pairwise(first, second, "angle") == pytest.approx([0, 90, 180])
    assert similarity.pairwise(first + 7, second + 7, "angle", np.full(2, 7.0)) == pytest.approx(
        [0, 90, 180]
    )


def test_age_by_decade_by_hand():
    true, looks = np.array([25.0, 25, 35, 65]), np.array([28.0, 31, 36, 45])
    found = attributes.apparent_age(true, looks, 40)
    assert found["decades"] == ["20s", "30s", "40s", "50s", "60s"]
    assert found["confusion"][0] == [1, 1, 0, 0, 0]
    assert found["balanced_accuracy"] == pytest.approx((0.5 + 1 + 0) / 3, abs=1e-4)
    assert found["balanced_constant_guess"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["within_one_decade"] == 0.75
    assert found["within_constant_guess"] == 0.75  # always the twenties: three of four


def test_a_constant_answer_is_no_better_than_the_constant_guess():
    true = np.random.default_rng(0).uniform(20, 80, 300)
    found = attributes.apparent_age(true, np.full(300, 45.0), 45)
    assert found["balanced_accuracy"] == pytest.approx(found["balanced_constant_guess"])
    assert found["within_one_decade"] <= found["within_constant_guess"]
    sex = attributes.apparent_sex(np.array(["M"] * 90 + ["F"] * 10), np.ones(100))
    assert sex["balanced_accuracy"] == sex["constant_guess"] == 0.5


def test_ten_pictures_of_everybody_make_balanced_accuracy_no_surer():
    random = np.random.default_rng(0)
    true, looks = np.array(list("FM" * 30)), random.random(60)
    one = attributes.apparent_sex(true, looks)["interval"]
    names = np.repeat(range(60), 10)
    ten = attributes.apparent_sex(np.repeat(true, 10), np.repeat(looks, 10), names)["interval"]
    assert np.subtract(*one) == pytest.approx(np.subtract(*ten), abs=0.04)


# --- language ------------------------------------------------------------------------------------


def test_a_foreign_language_is_one_of_another_island_and_always_the_same():
    for number in range(1_000_000, 1_000_030):
        person = islander(number)
        island, name = language.foreign_language(person)
        assert island != person.island and name in VOICES[island]
        assert (island, name) == language.foreign_language(person)
    chosen = {language.foreign_language(islander(n))[0] for n in range(1_000_000, 1_000_100)}
    assert chosen == set(range(len(ISLANDS)))


@pytest.mark.parametrize("way", [0.0, 0.5, 1.0])
def test_the_way_to_the_other_island_is_measured(way):
    islands = _features(6, seed=3)
    own, other = np.arange(60) % 6, (np.arange(60) + 1) % 6
    before = islands[own] + 0.1 * _features(60)
    after = before + way * (islands[other] - islands[own])
    found = language.counterfactual(before, before, after, own, other, islands, np.zeros(SIZE))
    assert found["moved"] == pytest.approx(way, abs=1e-4) and found["moved_own"] == 0
    assert found["cosine_own"][0] == pytest.approx(1)
    assert (found["cosine_abroad"][0] < 0.99) == (way > 0)


def test_retrieval_by_language_keeps_the_gallery_whole():
    faces = _features(60)
    speaks = np.array(["fr"] * 20 + ["de"] * 37 + [""] + ["nb"] * 2)
    predicted = np.where((speaks == "fr")[:, None], faces, _features(60, seed=4))
    rows = language.by_language(r.ranked(predicted, faces, range(60)), speaks, k=1)
    assert [row["language"] for row in rows] == ["de", "fr"]  # two speakers are too few
    german, french = rows
    assert french["recall"] == 1 and german["recall"] < 0.2
    assert german["chance"] == pytest.approx(1 / 60, abs=1e-4)


# --- failures and maps ---------------------------------------------------------------------------


def test_failures_are_the_worst_by_each_rule_and_nothing_else():
    sex = np.array(["F", "M", "M", "F", ""])
    looks = np.array([0.9, 0.2, 0.95, 0.6, 0.99])
    chosen = failures.failures(
        np.array([1.0, 80, 5, 2, 50]), sex, looks, np.array([0.1, 0.2, 0.9, 0.3, np.nan]), count=2
    )
    rows = {rule: [f.row for f in chosen if f.rule == rule] for rule in failures.RULES}
    assert rows == {"rank": [1, 4], "sex": [0, 1], "unfamiliar": [2, 3]}


def test_a_face_of_the_right_sex_or_none_at_all_is_no_failure_of_sex():
    chosen = failures.failures(
        np.zeros(3), np.array(["F", "M", "F"]), np.array([0.1, 0.9, np.nan]), count=3
    )
    assert {failure.rule for failure in chosen} == {"rank"}


def test_a_voice_like_none_before_is_unfamiliar():
    trained = _features(50) + 5
    distances = failures.unfamiliarity(
        np.stack([trained[0] + 0.01, -trained[0]]), trained, np.zeros(SIZE)
    )
    assert distances[0] < 0.1 < 1.5 < distances[1]


def test_a_map_puts_those_that_are_alike_side_by_side():
    group = np.arange(40) % 2
    features = np.where(group[:, None] == 0, 3, -3) + _features(40)
    places = embedding.neighbours_map(features, np.zeros(SIZE))
    assert places.shape == (40, 2) and np.abs(places).max() == pytest.approx(1)
    distance = np.hypot(*(places[:, None] - places).T) + 9 * np.eye(40)
    assert (group[distance.argmin(1)] == group).mean() > 0.9
    with pytest.raises(ValueError, match="10 features or more; here are 4"):
        embedding.neighbours_map(features[:4], np.zeros(SIZE))


# --- all together --------------------------------------------------------------------------------


def _whole(count=60, further=40):
    """Pairs with everything that can be measured; what is further is there for some only."""
    people = [islander(1_000_000 + number) for number in range(count)]
    features = _features(count)

    def noisy(noise, seed):
        return features + noise * _features(count, seed=seed)

    def some(values):
        return np.where(np.arange(count)[:, None] < further, values, np.nan)

    landmarks = np.random.default_rng(7).uniform(0, 100, (count, 3, 68, 2))
    islands = [(person.island, language.foreign_language(person)[0]) for person in people]
    return Measured(
        identities=[f"islander-{person.number}" for person in people],
        sex=np.array([person.sex for person in people]),
        age=np.array([person.age for person in people]),
        predicted=noisy(1, 1),
        features=features,
        reconstructed=noisy(1.5, 2),
        early=noisy(2, 3),
        late=noisy(2, 4),
        again=some(noisy(1, 5)),
        abroad=some(noisy(3, 6)),
        islands=np.array(islands),
        languages=np.array([VOICES[person.island][person.language] for person in people]),
        pitch=some(np.tile(np.linspace(90, 250, count)[:, None], 2)),
        decoded=noisy(0.5, 8),
        another_face=some(noisy(0.2, 9)),
        landmarks=landmarks[:, 0],
        drawn_landmarks=landmarks[:, 1:],
    )


@pytest.fixture(scope="module")
def result():
    return assess(_whole(), np.zeros(SIZE), None, 40, {"voice": _whole().features})


def test_everything_is_measured_on_those_it_was_made_for(result):
    assert {"lengths", "decoder", "consistency", "verification", "language", "craniofacial"} <= set(
        result
    )
    assert result["lengths"]["people"] == 60 and result["decoder"]["people"] == 40
    decoder = result["decoder"]["decoded_face"]
    assert decoder["queries"] == 40 and decoder["gallery_size"] == 60
    assert result["verification"]["people"] == 40
    assert result["verification"]["all"]["pitch"]["eer"] == 0
    assert result["language"]["counterfactual"]["count"] == 40
    assert len(result["craniofacial"]["true"]) == len(result["craniofacial"]["decoded"]) == 13
    assert json.loads(json.dumps(result)) == result


def test_more_voice_and_less_noise_are_better(result):
    three, six = (result["lengths"][s]["retrieval"]["cosine"]["recall"]["1"] for s in ("3", "6"))
    assert six > three
    own, abroad = (result["language"]["retrieval"][k]["recall"]["1"] for k in ("own", "abroad"))
    assert own > abroad
    assert result["decoder"]["ratio"]["ratio"] <= 1
    over = result["consistency"]
    assert over["over_recordings"]["all"]["within"][0] > over["over_time"]["all"]["within"][0]


def test_the_six_second_row_is_the_retrieval_itself(result):
    assert result["lengths"]["6"]["retrieval"]["cosine"] == result["retrieval"]["unmatched"]
    assert result["ratios"]["voice"]["unmatched"]["yardstick"] == 1
    assert result["ratios"]["voice"]["unmatched"]["recall"] == pytest.approx(
        result["retrieval"]["unmatched"]["recall"]["10"]
    )


def test_the_report_shows_every_section_with_chance_and_interval(result):
    text = report.format_report(result)
    for part in ("philtrum width", "equal error rate, chance 50 %", "R@10, other language"):
        assert part in text
    for part in ("3 s, cosine", "degrees", "first and last 3 s", "within the sex", "ratio"):
        assert part in text
    assert "needs 100 faces or more" in text


def test_too_few_people_for_a_measure_name_the_number_that_would_do():
    few = _whole(4, 4)
    skipped: list[str] = []
    assert trials.measure(few, np.zeros(SIZE), skipped) == {}
    assert any("verification needs at least 5 people, here are 4" in line for line in skipped)
    assert any("craniofacial needs at least 20 people, here are 4" in line for line in skipped)


def test_every_part_that_is_dropped_is_named_with_the_number_that_would_do():
    whole = _whole(24, 4)
    sex, age = np.full(24, "F"), np.where(np.arange(24) < 7, 30.0, np.nan)
    sex[:2] = "M", ""
    skipped: list[str] = []
    found = trials.measure(dataclasses.replace(whole, sex=sex, age=age), np.zeros(SIZE), skipped)
    assert "same_sex" not in found["consistency"]["over_time"]
    assert "over_recordings" not in found["consistency"]
    text = "\n".join(skipped)
    assert "consistency (over time, same sex) needs at least 2 women and 2 men" in text
    assert "here are 22 women, 1 men and 1 of unknown sex" in text
    assert "consistency (over recordings) needs at least 5 people, here are 4" in text
    skipped.clear()
    whole = dataclasses.replace(_whole(24, 24), sex=sex, age=age)
    found = trials.measure(whole, np.zeros(SIZE), skipped)
    text = "\n".join(skipped)
    assert "verification (same sex) needs at least 2 women" in text
    assert "consistency (over recordings, same sex) needs at least 2 women" in text
    assert "craniofacial needs at least 20 faces of known sex and age, here are 6" in text
    assert "6 faces of known sex and age; 20 would do" in report.format_report(
        {"gallery": 24, "people": 24, **found}, "craniofacial"
    )


def test_what_was_not_made_is_left_out_without_a_word():
    bare = dataclasses.replace(
        _whole(30),
        **dict.fromkeys(("early", "late", "again", "abroad", "decoded", "landmarks")),
    )
    skipped: list[str] = []
    assert trials.measure(bare, np.zeros(SIZE), skipped) == {} and skipped == []


def test_a_feature_that_is_not_a_number_is_named():
    broken = _whole(30)
    broken.predicted[17, 3] = np.nan
    with pytest.raises(ValueError, match="Row 17 of predicted"):
        assess(broken, np.zeros(SIZE), None)
