"""Packages: only what is missing is installed, and nothing that is there moves."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers import packages
from helpers.packages import install_missing, missing_packages

COLAB = ROOT / "tests/colab_2026-08.txt"
"""What Colab has installed, as names and versions."""


@pytest.fixture
def requirements(tmp_path):
    def written(*lines):
        path = tmp_path / "requirements.txt"
        path.write_text("\n".join(lines) + "\n")
        return path

    return written


@pytest.fixture
def pip(tmp_path, monkeypatch):
    """Puts a pip in place that notes what it was asked for and installs by leaving metadata."""
    site, bin_folder = tmp_path / "site", tmp_path / "bin"
    site.mkdir()
    bin_folder.mkdir()
    python = bin_folder / "python"
    script = f"""\
        #!{sys.executable}
        import pathlib, sys
        if sys.argv[1:4] != ["-m", "pip", "install"]:
            sys.exit("not pip install")
        here = pathlib.Path({str(tmp_path)!r})
        constraints = pathlib.Path(sys.argv[sys.argv.index("-c") + 1])
        (here / "constraints.txt").write_text(constraints.read_text())
        (here / "asked.txt").write_text(chr(10).join(sys.argv[6:]))
        if (here / "refuse").exists():
            print("Collecting nowhere")
            sys.exit("ERROR: No matching distribution found for nowhere")
        for line in sys.argv[6:]:
            name = line.split(">")[0].replace("-", "_")
            info = here / "site" / (name + "-1.0.dist-info")
            info.mkdir()
            (info / "METADATA").write_text("Name: " + name + chr(10) + "Version: 1.0" + chr(10))
            print("Successfully installed", name)
        """
    python.write_text(textwrap.dedent(script))
    python.chmod(0o755)
    monkeypatch.setattr(packages.sys, "executable", str(python))
    monkeypatch.syspath_prepend(str(site))
    return tmp_path


def test_only_distributions_that_are_not_installed_are_missing(requirements):
    path = requirements("numpy>=2.0,<3", "no-such-thing>=1,<2", "# a remark", "", "tqdm>=4  # bars")
    assert missing_packages(path) == ["no-such-thing>=1,<2"]


def test_an_installed_distribution_of_another_version_is_not_missing(requirements):
    assert missing_packages(requirements("numpy>=1000")) == []


def test_a_marker_that_does_not_hold_is_not_missing(requirements):
    assert missing_packages(requirements("no-such-thing; python_version < '3'")) == []


@pytest.mark.parametrize(
    ("line", "module"), [("dlib-bin>=19.24", "dlib"), ("opencv-python-headless>=4.10,<6", "cv2")]
)
def test_another_build_of_the_module_is_good_enough(requirements, monkeypatch, line, module):
    def nothing_installed(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(packages.importlib.metadata, "version", nothing_installed)
    there = {module}
    monkeypatch.setattr(
        packages.importlib.util, "find_spec", lambda name: object() if name in there else None
    )
    assert missing_packages(requirements(line)) == []
    there.clear()
    assert missing_packages(requirements(line)) == [line]


def test_a_line_that_cannot_be_read_is_named(requirements):
    with pytest.raises(ValueError, match="line 2: 'numpy=>2'"):
        missing_packages(requirements("tqdm>=4", "numpy=>2"))


def test_what_is_missing_is_installed_under_constraints_and_in_sight(requirements, pip, capsys):
    path = requirements("numpy>=2.0,<3", "wonder-wheel>=1,<2")
    assert install_missing(path) == ["wonder-wheel>=1,<2"]
    assert (pip / "asked.txt").read_text() == "wonder-wheel>=1,<2"
    constraints = (pip / "constraints.txt").read_text().splitlines()
    assert f"numpy=={importlib.metadata.version('numpy')}" in constraints
    assert not any(line.startswith("wonder-wheel") for line in constraints)
    said = capsys.readouterr().out
    assert "Installing wonder-wheel>=1,<2" in said
    assert "Successfully installed wonder_wheel" in said
    assert install_missing(path) == [], "the second time there is nothing to do"


def test_nothing_happens_when_nothing_is_missing(requirements, pip, capsys):
    assert install_missing(requirements("numpy>=2.0,<3")) == []
    assert not (pip / "asked.txt").exists()
    assert capsys.readouterr().out == ""


def test_the_constraints_hold_everything_that_is_installed():
    names = {canonicalize_name(d.metadata["Name"]) for d in importlib.metadata.distributions()}
    assert set(packages.installed()) == names


def test_pip_accepts_the_constraints(tmp_path):
    from packaging.version import Version

    for name, version in packages.installed().items():
        assert Requirement(f"{name}=={version}").specifier.contains(Version(version))


def test_a_failing_pip_is_reported_with_its_last_words(requirements, pip):
    (pip / "refuse").touch()
    with pytest.raises(RuntimeError, match="wonder-wheel.*No matching distribution found"):
        install_missing(requirements("wonder-wheel>=1,<2"))


def test_the_requirements_have_lower_bounds_and_ceilings_and_no_pins():
    for line, name in packages._wanted(ROOT / "requirements.txt"):
        operators = {clause.operator for clause in Requirement(line).specifier}
        assert ">=" in operators, name
        assert "==" not in operators, name
        # yt-dlp has dates for versions: the newest is the one that works.
        assert name == "yt-dlp" or "<" in operators, name


@pytest.fixture(scope="module")
def colab_has() -> dict[str, str]:
    """Version of each distribution on Colab, by its normalised name."""
    lines = [line for line in COLAB.read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(n): v for n, _, v in (line.partition("==") for line in lines)}


def test_nothing_required_contradicts_what_colab_has(colab_has):
    checked = 0
    for line, name in packages._wanted(ROOT / "requirements.txt"):
        version = colab_has.get(canonicalize_name(name))
        if version is not None:
            specifier = Requirement(line).specifier
            assert specifier.contains(version, prereleases=True), f"Colab has {name} {version}"
            checked += 1
    assert checked > 10


def python_of_colab() -> str | None:
    """A Python of the version that Colab runs, with pip; None where there is none."""
    code = "import sys, pip; sys.exit(sys.version_info[:2] != (3, 13))"
    others = Path.home().glob(".pyenv/versions/3.13.*/bin/python3.13")
    for candidate in (sys.executable, shutil.which("python3.13"), *map(str, others)):
        if (
            candidate
            and not subprocess.run([candidate, "-c", code], capture_output=True).returncode
        ):
            return candidate
    return None


@pytest.mark.slow
def test_on_colab_nothing_that_is_preinstalled_moves(colab_has, monkeypatch, tmp_path):
    """pip resolves what the bootstrap would ask for, as on Colab, and says what it would do."""
    python = python_of_colab()
    if python is None:
        pytest.skip("no Python 3.13, which Colab runs, to resolve the requirements with")

    def on_colab(name):
        if canonicalize_name(name) not in colab_has:
            raise importlib.metadata.PackageNotFoundError(name)
        return colab_has[canonicalize_name(name)]

    monkeypatch.setattr(packages.importlib.metadata, "version", on_colab)
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: name in ("dlib", "cv2"))
    missing = missing_packages(ROOT / "requirements.txt")
    monkeypatch.undo()
    report = tmp_path / "report.json"
    options = ["--dry-run", "--ignore-installed", "--report", str(report), "-c", str(COLAB)]
    command = [python, "-m", "pip", "install", "--quiet", *options, *missing]
    done = subprocess.run(command, capture_output=True, text=True)
    if "ResolutionImpossible" not in done.stderr and done.returncode:
        pytest.skip(f"pip reaches no registry: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    new = {}
    for item in json.loads(report.read_text())["install"]:
        name, version = canonicalize_name(item["metadata"]["name"]), item["metadata"]["version"]
        if name not in colab_has:
            new[name] = version
        assert colab_has.get(name, version) == version, f"{name} would move to {version}"
    assert {"av", "mtcnn", "espeakng-loader"} <= set(new)
    # How many come along is up to the newest releases: it is said, not judged.
    print("New on Colab, and nothing moves:", ", ".join(sorted(new)))
