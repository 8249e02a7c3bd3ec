"""What is handed out: the wheel, the locks and the tree itself."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement

import schemas

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "producers", "consumers", "compose")
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PLACE_OF_A_MACHINE = re.compile(r"(^|[^a-z.])/(work|root|farm|home|Users)/")
WHERE_TO_DOWNLOAD = re.compile(r"index[-]url|https?://\S*(/simple\b|/packages/|/maven2?/|\.whl|\.jar|\.tgz)")
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; (.+?))? \\$", re.MULTILINE)


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]  # type: ignore[no-any-return]  # TOML has no schema


def tree() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)  # noqa: S607 - git is on the PATH of whoever has a checkout
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def pins(lock: Path) -> dict[tuple[str, str], str]:
    """Return the version of each package of a lock, by name and marker."""
    return {(name, marker): version for name, version, marker in PIN.findall(lock.read_text("utf-8"))}


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tree()
        for number, line in enumerate(path.read_text("utf-8", errors="ignore").splitlines(), start=1)
        if pattern.search(line)
    ]


def test_everything_in_the_packages_is_in_the_wheel_and_nothing_else() -> None:
    shipped = {Path(each.distribution_path) for each in WheelBuilder(str(ROOT)).recurse_included_files()}
    tracked = {path.relative_to(ROOT) for path in tree()}
    assert {path for path in tracked if path.parts[0] in PACKAGES} <= shipped
    assert {path.parts[0] for path in shipped} == set(PACKAGES)


def test_the_wheel_has_the_sql() -> None:
    shipped = {each.distribution_path for each in WheelBuilder(str(ROOT)).recurse_included_files()}
    found = {path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("*.sql")}
    assert found
    assert found <= shipped


def test_the_version_is_the_newest_one_of_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)[0] == schemas.__version__


def test_it_can_not_be_uploaded_by_accident() -> None:
    assert "Private :: Do Not Upload" in project()["classifiers"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_pins_every_package_with_hashes_and_says_not_where_from(lock: Path) -> None:
    text = lock.read_text("utf-8")
    assert "://" not in text
    packages = re.split(r"\n(?! )", text.strip())
    assert len(packages) == len(pins(lock))
    assert all("--hash=sha256:" in package for package in packages)


@pytest.mark.parametrize("name", ["run", "embedded", "build"])
def test_the_locks_agree_with_each_other(name: str) -> None:
    assert pins(ROOT / "requirements" / f"{name}.txt").items() <= pins(ROOT / "requirements" / "dev.txt").items()


def test_each_lock_has_what_the_project_asks_for() -> None:
    extras = project()["optional-dependencies"]
    asked = {"run": [], "embedded": extras["embedded"], "dev": [*extras["embedded"], *extras["dev"]]}
    for name, more in asked.items():
        locked = pins(ROOT / "requirements" / f"{name}.txt")
        for requirement in map(Requirement, [*project()["dependencies"], *more]):
            versions = [version for (package, _), version in locked.items() if package == requirement.name]
            assert versions, f"{requirement} is not in {name}.txt: make lock"
            assert all(requirement.specifier.contains(version, prereleases=True) for version in versions)


def test_no_file_names_a_place_of_one_machine() -> None:
    assert lines_with(PLACE_OF_A_MACHINE) == []


def test_no_file_says_where_to_download_from() -> None:
    assert lines_with(WHERE_TO_DOWNLOAD) == []


@pytest.mark.parametrize("folder", ["home", "root", "Users", "work"])
def test_places_of_a_machine_are_recognised(folder: str) -> None:
    assert PLACE_OF_A_MACHINE.search(f"cd /{folder}/me")
    assert not PLACE_OF_A_MACHINE.search(f"see docs/{folder}/me")
