"""The folders of the tests are those of the package; no test is left to the long run alone."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parent


def test_every_folder_mirrors_a_room() -> None:
    rooms = {init.parent.name for init in (TESTS.parent / "dmft_sym").glob("*/__init__.py")} | {"codegen"}
    folders = {path.parent.relative_to(TESTS).as_posix() for path in TESTS.glob("*/**/*.py")}
    assert folders == rooms | {"known_results", "shared"}


def test_shared_modules_are_used_by_tests_of_several_folders_and_have_no_tests() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in TESTS.rglob("*.py")}
    for module in (TESTS / "shared").glob("*.py"):
        assert not module.name.startswith("test_")
        users = {path for path, text in sources.items() if f"from {module.stem} import" in text}
        assert len(users) > 1, module.name


def test_slow_is_a_mark_of_cases_and_never_of_a_test() -> None:
    """So that ``make test`` makes the assertions of every test, on its other cases."""
    for path in TESTS.rglob("test_*.py"):
        decorator = "@pytest.mark." + "slow"
        assert decorator not in path.read_text(encoding="utf-8"), path.name
