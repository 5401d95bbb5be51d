"""All faults of a file are told at once, and read well: the golden files are the messages as a user sees them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.errors import StudyError
from ablate.study.load import load_study

TAIL = """\
task: core.x:run
metrics: [{name: error, unit: mm, better: lower}]
"""

FILES = {
    "no YAML": "study: s\ntitle: [t\ntask: core.x:run\n",
    "a tab, and a character that no file may have": 'study: s\ntitle: "\x07"\n',
    "shape": """\
study: Bad Name
title: 3
title: twice
arm: {}
task: toy.tasks
arms:
  a: {x: .nan}
  " b": {}
  c: 3
  d: {from: [a], against: 1}
reference: z
replicates: two
stages:
  first: {taks: "x:y", needs: second, resources: {num_cpu: 1}}
metrics:
  - {name: Bad, unit: mm, better: lowr}
  - {name: x/y, better: lower, unit: 1, equivalent_within: 0}
curves: [{titel: x}]
""",
    "relations": """\
study: relations
title: Each entry is well-formed
task: toy.tasks:run
arms:
  a: {}
  c:
reference: z
paper_rows: {a: A, q: B}
paper: roy/table3
needs: [first, fist]
stages:
  first: {task: "core.x:y", needs: [second]}
  second: {task: "core.x:y", needs: [first]}
  third: {task: "core.x:y"}
metrics:
  - {name: x/y, better: lower, unit: "1"}
  - {name: x/y, better: lower, unit: "1"}
replicates: {min: 8, max: 3, metric: x/z}
curves: [{title: c, metrics: [x/y], arms: [a, b]}]
""",
    "no arms at all": "study: s\ntitle: t\n" + TAIL,
    "inheritance": """\
study: s
title: t
reference: ours
arms:
  ours: {}
  a: {from: b}
  b: {from: c, x: 1}
  c: {from: a}
  alone: {from: alone}
  heir: {from: our}
  other: {from: ours, against: hair}
"""
    + TAIL,
    "adaptive replication, misspelt": "study: s\ntitle: t\narms: {a: {}}\nreplicates: {min: 1, untill: decided}\n"
    + TAIL,
}

DESIGNS = {
    "shape": """\
design:
  kind: factoral
  from: 3
  factor: {a: {key: m.a, values: [1, 2]}}
  factors:
    a=b: {key: m.a, values: [1, 2]}
    c: {key: m.c, value: [1, 2]}
    d: {levels: [on, off]}
    e: {levels: {on: 1}}
""",
    "factors": """\
design:
  kind: leave_one_out
  from: ours
  factors:
    both: {key: m.a, values: [1, 2], levels: {on: {}, off: {}}}
    neither: {key: m.a}
    one: {key: m.b, values: [1]}
    none: {levels: {}}
    doubled: {key: m.c, values: [1, 1.0, 1e0]}
    namesakes: {key: m.d, values: ["1", 1]}
    wordless: {key: m.e, values: ["", x]}
    three: {levels: {a: {}, b: {m.f: 1}, c: {m.f: 2}}}
""",
    "a sweep": """\
design:
  kind: sweep
  from: [ours, our, ours]
  factors: {a: {key: m.a, values: [1, 2]}, b: {key: m.b, values: [1, 2]}, c: {key: m.c, values: [1, 2]}}
  generators: {c: [a, b]}
""",
    "generators": """\
design:
  kind: factorial
  from: [ours]
  factors:
    a: {key: m.a, values: [1, 2]}
    b: {key: m.b, values: [1, 2, 3]}
    c: {key: m.c, values: [1, 2]}
    d: {key: m.d, values: [1, 2]}
    e: {key: m.e, values: [1, 2]}
    f: {key: m.f, values: [1, 2]}
  generators: {c: [a, bb], d: [a, c, a], e: [a, b], f: [b, a], g: [b]}
  exclude: [{a: 2}]
""",
    "rules": """\
design:
  kind: factorial
  factors:
    weights: {levels: {geometric: {}, uniform: {m.w: no}}}
    sigma: {key: m.s, values: [20, 10, 40]}
  exclude: [{weight: uniform}, {weights: unifrom, sigma: [10, 15]}, {}]
  only: [{sigma: 4}]
""",
    "rules that leave nothing": """\
design:
  kind: one_at_a_time
  factors: {sigma: {key: m.s, values: [20, 10, 40]}}
  exclude: [{sigma: [20, 10]}, {sigma: 40}]
""",
    "two factors for one key": """\
design:
  kind: factorial
  factors:
    a: {levels: {on: {}, off: {m: {x: 1, y: 2}}}}
    b: {key: m.x, values: [1, 2]}
""",
    "too many": "design:\n  kind: factorial\n  factors:\n"
    + "".join(f"    f{index}: {{key: m.k{index}, values: [{', '.join('0123456789')}]}}\n" for index in range(6)),
    "a first level that the arm contradicts": """\
arms: {ours: {m.s: 10}}
design:
  kind: factorial
  from: ours
  factors: {sigma: {key: m.s, values: [20, 10, 40]}}
""",
    "names that are taken": """\
arms: {ours: {}, "s=2": {m.s: 3}}
reference: ours
design:
  kind: one_at_a_time
  from: ours
  factors: {s: {key: m.s, values: [1, 2]}}
""",
    "names that are not made": """\
reference: s=21
curves: [{title: c, metrics: [error], arms: [s=1, s=99]}]
design:
  kind: sweep
  factors: {s: {key: m.s, values: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]}}
""",
    "an arm that only starts a sweep": """\
reference: other
arms: {ours: {}, other: {against: ours}}
curves: [{title: c, metrics: [error], arms: [ours]}]
design:
  kind: sweep
  from: ours
  factors: {s: {key: m.s, values: [0, 1]}}
""",
    "no reference": """\
arms: {ours: {}, other: {m.x: 1}}
design:
  kind: leave_one_out
  factors: {s: {key: m.s, values: [0, 1]}}
""",
}


@pytest.fixture
def faults_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    monkeypatch.chdir(tmp_path)

    def faults(text: str) -> str:
        path = tmp_path / "s.yaml"
        path.write_text(text)
        with pytest.raises(StudyError) as raised:
            load_study(path)
        return str(raised.value)

    return faults


def test_the_faults_of_a_file_are_as_reviewed(faults_of, golden) -> None:
    golden("study_faults.txt", "\n\n".join(f"# {name}\n{faults_of(text)}" for name, text in FILES.items()) + "\n")


def test_the_faults_of_a_design_are_as_reviewed(faults_of, golden) -> None:
    head = "study: s\ntitle: t\n" + TAIL
    texts = {
        name: text if "arms:" in text else "arms: {ours: {}}\n" * ("from" in text) + text
        for name, text in DESIGNS.items()
    }
    golden(
        "design_faults.txt", "\n\n".join(f"# {name}\n{faults_of(head + text)}" for name, text in texts.items()) + "\n"
    )
