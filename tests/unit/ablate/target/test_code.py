import pytest

from ablate.target import code_fingerprint, load_task


@pytest.fixture
def files(toy_project):
    def reads(path: str = "toy.tasks:run") -> dict[str, str]:
        return dict(code_fingerprint(load_task(path)).files)

    return reads


def test_a_task_reaches_what_it_imports_of_its_own_package(files) -> None:
    assert list(files()) == ["toy/__init__.py", "toy/noise.py", "toy/tasks.py"]


def test_comments_docstrings_and_layout_do_not_count(files, toy_project) -> None:
    before = files()
    toy_project.edit('"""Give a little noise."""', '"""Something else."""', name="toy/noise.py")
    toy_project.edit("(0.0, 0.1)  # small", "(\n        0.0,\n        0.1,\n    )", name="toy/noise.py")
    assert files() == before


@pytest.mark.parametrize(("old", "new"), [("0.1", "0.2"), ("gauss", "uniform"), ("0.0, 0.1", "0.0, sigma=0.1")])
def test_a_change_of_code_changes_its_file_alone(files, toy_project, old: str, new: str) -> None:
    before = files()
    toy_project.edit(old, new, name="toy/noise.py")
    after = files()
    assert [name for name in after if after[name] != before[name]] == ["toy/noise.py"]


def test_imports_in_functions_relative_ones_and_parents_are_followed(files, toy_project) -> None:
    toy_project.write("toy/deep/__init__.py", "")
    toy_project.write("toy/deep/a.py", "from . import b\nfrom ..late import c\ndef run(): import toy.lazy\n")
    toy_project.write("toy/deep/b.py", "from .. import noise")
    toy_project.write("toy/late.py", "c = 1")
    toy_project.write("toy/lazy.py", "raise RuntimeError('read, never imported')")
    assert list(files("toy.deep.a:run")) == [
        "toy/__init__.py",
        "toy/deep/__init__.py",
        "toy/deep/a.py",
        "toy/deep/b.py",
        "toy/late.py",
        "toy/lazy.py",
        "toy/noise.py",
    ]


def test_the_standard_library_installed_packages_and_the_platform_do_not_count(files, toy_project) -> None:
    toy_project.write("toy/far.py", "import json, pydantic, ablate.ids\ndef run(): import nowhere_at_all\n")
    assert list(files("toy.far:run")) == ["toy/__init__.py", "toy/far.py"]


def test_another_package_that_is_not_installed_counts(files, toy_project) -> None:
    toy_project.write("friend/__init__.py", "")
    toy_project.write("friend/help.py", "x = 1")
    toy_project.write("single.py", "y = 1")
    toy_project.write("toy/near.py", "from friend.help import x\nimport single\ndef run(): ...\n")
    assert list(files("toy.near:run")) == [
        "friend/__init__.py",
        "friend/help.py",
        "single.py",
        "toy/__init__.py",
        "toy/near.py",
    ]


def test_a_reached_file_that_is_no_python_counts_by_its_bytes(files, toy_project) -> None:
    toy_project.write("toy/old.py", "print 'two'")
    toy_project.write("toy/near.py", "def run():\n    from toy import old\n")
    before = files("toy.near:run")
    toy_project.write("toy/old.py", "print 'three'")
    after = files("toy.near:run")
    assert [name for name in after if after[name] != before[name]] == ["toy/old.py"]


def test_null_and_nothing_differ(files, toy_project) -> None:
    toy_project.write("toy/small.py", "def run():\n    return\n")
    before = files("toy.small:run")
    toy_project.write("toy/small.py", "def run():\n    return None\n")
    assert files("toy.small:run") != before


def test_the_digest_is_the_same_in_another_place(toy_project, tmp_path, monkeypatch) -> None:
    here = code_fingerprint(load_task("toy.tasks:run"))
    toy_project.root.rename(tmp_path / "moved")
    monkeypatch.syspath_prepend(tmp_path / "moved")
    toy_project.write("unused.txt", "")
    assert code_fingerprint(load_task("toy.tasks:run")) == here
