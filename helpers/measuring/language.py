"""What the language does: is it the voice that is heard, or what it says?

On Archipelago an islander can be made to speak another island's language with everything else of
the voice unchanged. That is an experiment that no collection of real recordings allows. An encoder
that hears the person gives the same face; one that hears the language gives a face of that island.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers.archipelago.islanders import ISLANDS, Islander
from helpers.archipelago.sentences import VOICES
from helpers.measuring.intervals import bootstrap_interval
from helpers.measuring.retrieval import Ranks
from helpers.measuring.similarity import pairwise

LEAST_SPEAKERS = 5


def foreign_language(person: Islander) -> tuple[int, str]:
    """Chooses another island and one of its languages for an islander; always the same ones.

    Returns:
        The island's number and espeak-ng's name of the language.
    """
    further = 1 + person.number % (len(ISLANDS) - 1)
    island = (person.island + further) % len(ISLANDS)
    return island, VOICES[island][person.language]


def counterfactual(
    own: np.ndarray,
    again: np.ndarray,
    abroad: np.ndarray,
    islands: Sequence[int],
    other_islands: Sequence[int],
    island_faces: np.ndarray,
    centre: np.ndarray,
) -> dict:
    """Says how far a predicted feature moves when only the language changes.

    Args:
        own: Predicted from the islander's own language, (n, d).
        again: Predicted from another sentence of it, in another recording, (n, d).
        abroad: Predicted from the other island's language, same number of recording, (n, d).
        islands: Island of each islander, (n,).
        other_islands: Island whose language is spoken in `abroad`, (n,).
        island_faces: Mean face feature of each island, (islands, d).
        centre: Mean feature of the training people, (d,).

    Returns:
        count; cosine_own (own against again) and cosine_abroad (own against abroad), each mean and
        standard deviation; moved, how far the prediction went from the mean face of its own island
        to that of the other, where 0 is not at all and 1 the whole way, with 95 % interval over
        people; moved_own, the same for the other sentence in the own language: the yardstick.
    """
    way = island_faces[np.asarray(other_islands)] - island_faces[np.asarray(islands)]
    length = np.maximum(np.sum(way**2, axis=1), 1e-12)
    result: dict = {"count": len(own)}
    for name, there in (("own", again), ("abroad", abroad)):
        cosines = pairwise(own, there, "cosine", centre)
        result[f"cosine_{name}"] = [round(float(cosines.mean()), 4), round(float(cosines.std()), 4)]
        moved = np.sum((there - own) * way, axis=1) / length
        name = "moved" if name == "abroad" else "moved_own"
        result[name] = round(float(moved.mean()), 4)
        ends = bootstrap_interval(moved, range(len(moved)))
        result[f"{name}_interval"] = [round(end, 4) for end in ends]
    return result


def by_language(ranks: Ranks, languages: Sequence[str], k: int = 10) -> list[dict]:
    """Splits a retrieval by the language that is spoken; the gallery stays whole.

    Args:
        ranks: Of all queries.
        languages: What each query speaks, as many; empty where unknown.
        k: The K of R@K.

    Returns:
        For each language with 5 speakers or more a dict: language, queries, recall, its 95 %
        interval over people, and chance.
    """
    languages, found = np.asarray(languages), ranks.found(k)
    rows = []
    for language in np.unique(languages[languages != ""]):
        chosen = languages == language
        people = ranks.people[chosen]
        if len(np.unique(people)) < LEAST_SPEAKERS:
            continue
        low, high = bootstrap_interval(found[chosen], people)
        rows.append(
            {
                "language": str(language),
                "queries": int(chosen.sum()),
                "recall": round(float(found[chosen].mean()), 4),
                "interval": [round(low, 4), round(high, 4)],
                "chance": round(float(np.minimum(1, k / ranks.sizes[chosen]).mean()), 5),
            }
        )
    return rows
