"""The measures as plain text: each table with chance, interval and baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from helpers.measuring.craniofacial import LEAST_FACES
from helpers.measuring.measures import GALLERIES

_NAMES = {
    "sex": "knows the sex",
    "demographic": "knows sex and age",
    "voice": "voice oracle",
    "latent": "latent oracle",
}


def format_report(report: Mapping, *sections: str) -> str:
    """Writes a report, or some sections of it, as tables of plain text.

    Args:
        report: What `measures.assess` returned, with or without notes.
        *sections: Which sections, such as `retrieval` or `language`; none writes all of them, with
            notes and with what was skipped.

    Raises:
        ValueError: There is no such section.
    """
    for name in sections:
        if name not in SECTIONS:
            raise ValueError(f"There is no section {name!r}. Choose of: {', '.join(SECTIONS)}.")
    lines = [] if sections else [f"{report['gallery']} faces of {report['people']} people"]
    for name in sections or SECTIONS:
        key, write = SECTIONS[name]
        if report.get(key) is not None:
            section = "\n".join(write(report[key] if key == name else report)).strip("\n")
            lines += ["", *section.splitlines()]
    if not sections:
        lines += ["", *report.get("notes", []), *report.get("skipped", [])]
    return "\n".join(lines).strip()


def _retrieval_lines(report: Mapping) -> list[str]:
    lines = []
    ranked = {"voice encoder": report.get("retrieval", {})}
    ranked |= {_NAMES.get(key, key): value for key, value in report.get("oracles", {}).items()}
    for gallery in GALLERIES:
        shown = {name: value[gallery] for name, value in ranked.items() if gallery in value}
        if not shown:
            continue
        first = next(iter(shown.values()))
        heading = f"{gallery.replace('_', ' ')}: {first['candidates']:.0f} faces to choose from"
        lines += ["", heading, "  in per cent         " + _cells(f"R@{k}" for k in first["recall"])]
        lines.append("  chance              " + _cells(map(_percent, first["chance"].values())))
        for name, found in shown.items():
            cells = _cells(map(_percent, found["recall"].values()))
            lines.append(
                f"  {name:<20}{cells}  median rank {found['median_rank']:g}, "
                f"percentile rank {found['percentile_rank']:.1f} (chance 50)"
            )
            if name == "voice encoder":
                ends = (_span(both) for both in found["interval"].values())
                lines.append("    95 % interval     " + _cells(ends))
        for oracle, ratios in report.get("ratios", {}).items():
            if ratios.get(gallery, {}).get("ratio") is not None:
                low, high = ratios[gallery]["interval"]
                lines.append(
                    f"  R@10 is {ratios[gallery]['ratio']:.2f} ({low:.2f}-{high:.2f}) of the "
                    f"{_NAMES.get(oracle, oracle)}'s"
                )
    return lines


def _small_gallery_lines(report: Mapping) -> list[str]:
    small = report["small_gallery"]
    found = ", ".join(f"R@{k} {_percent(value)}" for k, value in small["recall"].items())
    chance = ", ".join(_percent(value) for value in small["chance"].values())
    return [
        f"the same ranks in a gallery of {small['gallery_size']}, as published tables have it: "
        f"{found} (chance {chance})",
    ]


def _similarity_lines(report: Mapping) -> list[str]:
    lines = ["feature similarity, mean ± SD     true pairs          shuffled pairs"]
    for metric, values in report["similarity"].items():
        true, shuffled = (f"{a:.3f} ± {b:.3f}" for a, b in values.values())
        lines.append(f"  {metric:<32}{true:<20}{shuffled}")
    return lines


def _apparent_lines(report: Mapping) -> list[str]:
    lines = []
    if "faces_found" in report:
        lines.append(f"generated faces that are found as faces: {report['faces_found']:.1%}")
    apparent = report.get("apparent", {})
    if "sex" in apparent:
        sex = apparent["sex"]
        (ff, fm), (mf, mm) = sex["confusion"]
        lines.append(
            f"apparent sex: balanced accuracy {sex['balanced_accuracy']:.1%}"
            f"{_interval(sex)}, constant guess "
            f"{sex['constant_guess']:.1%}, true faces {sex['true_faces_balanced_accuracy']:.1%}"
        )
        lines.append(f"  true F: {ff} look F, {fm} look M; true M: {mf} look F, {mm} look M")
    if "age" in apparent:
        age = apparent["age"]
        lines.append(
            f"apparent age: mean absolute error {age['mean_absolute_error']:.1f} years, constant "
            f"guess {age['constant_guess']:.1f}, true faces "
            f"{age['true_faces_mean_absolute_error']:.1f}; r = {age['correlation']:.2f}"
        )
    if "within_one_decade" in apparent.get("age", {}):
        true = age["true_faces"]
        lines += [
            f"  decade right, balanced: {age['balanced_accuracy']:.1%}{_interval(age)}, constant "
            f"guess {age['balanced_constant_guess']:.1%}, true faces "
            f"{true['balanced_accuracy']:.1%}",
            f"  within one decade: {age['within_one_decade']:.1%}"
            f"{_interval(age, 'within_interval')}, constant guess "
            f"{age['within_constant_guess']:.1%}, true faces {true['within_one_decade']:.1%}",
        ]
    return lines


def _length_lines(lengths: Mapping) -> list[str]:
    lines = [f"seconds of voice ({lengths['people']} people); R@K in per cent, unmatched"]
    first = lengths["6"]["retrieval"]["cosine"]
    lines.append("                    " + _cells(f"R@{k}" for k in first["recall"]))
    lines.append("  chance            " + _cells(map(_percent, first["chance"].values())))
    for seconds in ("3", "6"):
        similar = lengths[seconds]["similarity"]
        for metric, found in lengths[seconds]["retrieval"].items():
            mean, deviation = similar[metric]["true"]
            lines.append(
                f"  {seconds} s, {metric:<13}{_cells(map(_percent, found['recall'].values()))}"
                f"   similarity {mean:.3f} ± {deviation:.3f}"
            )
        mean, deviation = similar["angle"]["true"]
        other, spread = similar["angle"]["shuffled"]
        lines.append(
            f"  {seconds} s, angle {mean:.1f} ± {deviation:.1f} degrees; to somebody else's face "
            f"{other:.1f} ± {spread:.1f}"
        )
    return lines


def _decoder_lines(decoder: Mapping) -> list[str]:
    lines = [f"the decoder by itself ({decoder['people']} people), R@10 in per cent"]
    for key, name in (
        ("another_true_face", "another true picture"),
        ("decoded_face", "face -> feature -> decoded face"),
    ):
        found = decoder[key]
        lines.append(
            f"  {name:<32}{_percent(found['recall']['10']):>6} "
            f"({_span(found['interval']['10'])}), chance {_percent(found['chance']['10'])}"
        )
    ratio = decoder["ratio"]
    if ratio["ratio"] is not None:
        low, high = ratio["interval"]
        lines.append(f"  ratio {ratio['ratio']:.2f} ({low:.2f}-{high:.2f})")
    return lines


def _consistency_lines(consistency: Mapping) -> list[str]:
    lines = [
        "consistency: cosine of two predictions, mean ± SD, and how often one's own is the nearer"
    ]
    for key, name in (("over_time", "first and last 3 s"), ("over_recordings", "two recordings")):
        for group, found in consistency.get(key, {}).items():
            (own, own_spread), (other, other_spread) = found["within"], found["between"]
            lines.append(
                f"  {name + _among(group):<40}one person {own:.2f} ± {own_spread:.2f}, two "
                f"{other:.2f} ± {other_spread:.2f}; {found['told_apart']:.1%}{_interval(found)}, "
                "chance 50 %"
            )
    return lines


def _verification_lines(verification: Mapping) -> list[str]:
    lines = [
        "verification: one person or two, from two recordings "
        f"({verification['people']} people); equal error rate, chance 50 %"
    ]
    names = {"network": "predicted feature", "pitch": "pitch only"}
    for group in ("all", "same_sex"):
        for system, found in verification.get(group, {}).items():
            lines.append(
                f"  {names[system] + _among(group):<40}{found['eer']:.1%}{_interval(found)}"
            )
    return lines


def _language_lines(language: Mapping) -> list[str]:
    moved = language["counterfactual"]
    lines = [
        f"language: {moved['count']} islanders speak another island's language, all else unchanged",
        f"  cosine with the first prediction: own language {moved['cosine_own'][0]:.2f}, other "
        f"{moved['cosine_abroad'][0]:.2f}",
        f"  way to the other island's mean face (0 none, 1 all): own {moved['moved_own']:.2f} "
        f"({_plain(moved['moved_own_interval'])}), other {moved['moved']:.2f} "
        f"({_plain(moved['moved_interval'])})",
    ]
    for key, name in (("own", "own language"), ("abroad", "other language")):
        found = language["retrieval"][key]
        lines.append(
            f"  R@10, {name:<16}{_percent(found['recall']['10']):>6} "
            f"({_span(found['interval']['10'])}), chance {_percent(found['chance']['10'])}"
        )
    rows = language.get("by_language", [])
    if rows:
        lines.append("  R@10 by language: " + ", ".join(_language_cell(row) for row in rows))
    return lines


def _language_cell(row: Mapping) -> str:
    return f"{row['language']} {_percent(row['recall'])} ({_span(row['interval'])})"


def _craniofacial_lines(craniofacial: Mapping) -> list[str]:
    if "true" not in craniofacial:
        return [
            f"craniofacial measures: only {craniofacial['faces']} faces of known sex and age; "
            f"{LEAST_FACES} would do."
        ]
    lines = [
        f"craniofacial measures, {craniofacial['faces']} true and drawn faces: Pearson's r, p "
        "after Holm; then the same with sex and age held fixed",
        "                               r        95 %       p (Holm)  random   held fixed      95 %"
        "       p (Holm)   paper",
    ]
    for row in craniofacial["true"]:
        lines.append(
            f"  {row['measure']:<26}{row['r']:6.2f}  {_plain(row['interval']):>14}"
            f"{_p(row['p_holm']):>10}{row['random_pairs']:8.2f}{row['partial']:12.2f}  "
            f"{_plain(row['partial_interval']):>14}{_p(row['partial_p_holm']):>10}"
            f"{row['published']:8.2f}"
        )
    return lines


def _leakage_lines(checks: Iterable[Mapping]) -> list[str]:
    lines = []
    for check in checks:
        counts = ", ".join(f"{count:,} {split}" for split, count in check["counts"].items())
        leaks = ", ".join(check["leaks"][:5]) or "none"
        lines.append(f"leakage, {check['what']}: {counts}; in two splits: {leaks}")
    return lines


SECTIONS = {
    "galleries": ("retrieval", _retrieval_lines),
    "small gallery": ("small_gallery", _small_gallery_lines),
    "similarities": ("similarity", _similarity_lines),
    "faces": ("faces_found", _apparent_lines),
    "lengths": ("lengths", _length_lines),
    "decoder": ("decoder", _decoder_lines),
    "craniofacial": ("craniofacial", _craniofacial_lines),
    "consistency": ("consistency", _consistency_lines),
    "verification": ("verification", _verification_lines),
    "language": ("language", _language_lines),
    "leakage": ("leakage", _leakage_lines),
}
"""Name of each section, the key of the report that it needs, and what writes it."""


def real_voices_lines(found: Mapping) -> str:
    """Writes the result of `real_voices.real_voices` as plain text."""
    lines = [
        f"apparent sex of {found['count']} faces from real voices: balanced accuracy "
        f"{found['balanced_accuracy']:.1%}{_interval(found)}, constant guess "
        f"{found['constant_guess']:.1%}"
    ]
    for sex, (right, count, ends) in found["right"].items():
        lines.append(f"  {sex}: {right} of {count} right ({_span(ends)} %)")
    if found["wrong"]:
        lines.append(f"  wrong: {', '.join(found['wrong'])}")
    lines += [f"  not usable: {row['file']}, {row['reason']}" for row in found["unusable"]]
    return "\n".join(lines)


def _among(group: str) -> str:
    return ", within the sex" if group == "same_sex" else ""


def _interval(found: Mapping, key: str = "interval") -> str:
    return f" ({_span(found[key])})" if key in found else ""


def _span(ends: Iterable[float]) -> str:
    return "-".join(map(_percent, ends))


def _plain(ends: Iterable[float]) -> str:
    low, high = ends
    return f"{low:.2f} to {high:.2f}"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _cells(texts: Iterable[str]) -> str:
    return "".join(f"{text:>12}" for text in texts)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
