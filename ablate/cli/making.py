"""`new` and `schema`: what one starts a study from."""

import json
import keyword
import re
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.places import shown
from ablate.errors import ExitCode, Fault, StudyError

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FROM_SCALE = "# replicates: 8                        # how many seeds; left out, the scale says (conf/scale/)"
_FIXED = "replicates: 8                          # how many seeds"

NewName = Annotated[str, typer.Argument(metavar="NAME", help="Of the study and of its package.", show_default=False)]
FolderOption = Annotated[
    Path, typer.Option("--folder", metavar="FOLDER", help="The project; it is made where it is not there.")
]
SchemaOutput = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it here.", show_default=False)
]


def new(name: NewName, folder: FolderOption = Path()) -> ExitCode:
    """Write a small study and a task of your own, which runs at once."""
    _check_name(name, folder.absolute())
    project = new_project(name, folder.absolute())
    taken = [path for path in project if path.exists()]
    if taken:
        message = "is there already and is not overwritten: choose another name or --folder"
        raise StudyError([Fault(message=message, path=Path(shown(path))) for path in taken])
    for path, text in project.items():
        _write(path, text)
        print(f"written: {shown(path)}")
    study = shown(folder.absolute() / "studies" / f"{name}.yaml")
    print("Now try:")
    for verb, meaning in {
        "plan": "what it would do",
        "run": "seconds to the table",
        "report": "the report of what is done",
        "ui": "the runs in MLflow",
    }.items():
        print(f"  ablate {verb} {study}".ljust(len(study) + 20) + f"# {meaning}")
    return ExitCode.DONE


def schema(output: SchemaOutput = None) -> ExitCode:
    """Print the JSON Schema of study files, for editors.

    After `ablate schema -o studies/study.schema.json`, editors with the YAML language server (VS Code, Neovim, Emacs)
    complete and check a study file that begins with the line `# yaml-language-server: $schema=study.schema.json`.
    """
    from ablate.study.json_schema import study_schema

    text = json.dumps(study_schema(), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        sys.stdout.write(text)
        return ExitCode.DONE
    _write(output, text)
    print(f"written: {shown(output)}")
    return ExitCode.DONE


def new_project(name: str, folder: Path) -> dict[Path, str]:
    """Give the files of a new study by their place; a configuration that is there already is left as it is."""
    has_conf = (folder / "conf" / "config.yaml").is_file()
    study = folder / "studies" / f"{name}.yaml"
    text = _template("study.yaml").format(name=name, path=shown(study), replicates=_FIXED if has_conf else _FROM_SCALE)
    found = {
        folder / name / "__init__.py": f'"""What the study `{name}` runs."""\n',
        folder / name / "tasks.py": _template("tasks.py.txt"),
        study: text,
    }
    if not has_conf:
        found[folder / "conf" / "config.yaml"] = _template("config.yaml")
        for scale in ("quick.yaml", "standard.yaml"):
            found[folder / "conf" / "scale" / scale] = _template(scale)
    return found


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"cannot be written: {error.strerror or error}"
        raise StudyError([Fault(message=message, path=Path(shown(path)))]) from error


def _check_name(name: str, project: Path) -> None:
    """Refuse a name that no package of the user's own can have.

    Raises:
        StudyError: It is no such name, or another package has it.
    """
    reason = ""
    if not _NAME.fullmatch(name):
        reason = "expected lower-case letters, digits and _, beginning with a letter"
    elif keyword.iskeyword(name) or keyword.issoftkeyword(name):
        reason = "it is a word of Python's: choose another"
    elif name in sys.stdlib_module_names:
        reason = "it is a module of Python's own: choose another"
    elif name in ("conf", "runs", "studies"):
        reason = "it is a folder of the project: choose another"
    elif _is_installed(name, project):
        reason = "a package of that name is installed: choose another"
    if reason:
        raise StudyError([Fault(message=f"'{name}' cannot be the name of a study and its package: {reason}")])


def _is_installed(name: str, project: Path) -> bool:
    """Tell whether a package of this name is found elsewhere than in the project."""
    found = find_spec(name)
    if found is None:
        return False
    places = [*([found.origin] if found.origin else []), *(found.submodule_search_locations or [])]
    return not any(Path(place).is_relative_to(project) for place in places)


def _template(name: str) -> str:
    return (files("ablate.cli") / "templates" / name).read_text(encoding="utf-8")
