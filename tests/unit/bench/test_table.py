"""The table of benchmarks: what a run renews, what it leaves, and how numbers are written."""

import re

import pytest

from tests.bench.table import BEGIN, END, natural, rate, renewed, rounded, seconds

EMPTY = f"# Words\n\n{BEGIN}\n{END}\nmore words\n"


def entry(group, peer="ours", place=0, wall_s=1e-3, section="test_dlt.py"):
    ratio = [2.0, 1.5, 2.5]
    info = {
        "peer": peer,
        "place": place,
        "amount": 17,
        "unit": "points",
        "rounds": 7,
        "section": section,
        "wall_s": [wall_s, 0.9 * wall_s, 1.1 * wall_s],
        "cpu_s": [wall_s, wall_s, wall_s],
        "ratios": {"wall": ratio, "cpu": ratio},
    }
    return {"group": group, "extra_info": info}


def run(*entries, day="2026-08-01", torch="2.13.0"):
    machine = {
        "cpu": {"brand_raw": "EPYC"},
        "machine": "x86_64",
        "num_cores": 2,
        "threads": {"OMP_NUM_THREADS": "1"},
        "gpu": "",
        "versions": {"python": "3.11.4", "torch": torch},
    }
    return {
        "machine_info": machine,
        "commit_info": {"id": "0123456789abcdef", "dirty": True},
        "datetime": f"{day}T10:00:00.0+00:00",
        "load_average": [0.5, 0.4, 0.3],
        "benchmarks": list(entries),
    }


def rows(text):
    return [
        tuple(re.split(r" \| ", line.strip("| "))[index] for index in (0, 1, 8))
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith("| comparison")
    ]


def test_a_run_is_written_between_the_markers_and_nothing_else_changes():
    text = renewed(EMPTY, run(entry("dlt, 2 views"), entry("dlt, 2 views", peer="svd", place=1)))
    assert text.startswith("# Words\n\n") and text.endswith(f"{END}\nmore words\n")
    assert (
        "| dlt, 2 views | ours | 1.00 ms [900 us, 1.10 ms] | 1.00 ms | 17.0 k points/s | 1 | 1 | 7 | 1 |\n"
        "| dlt, 2 views | svd | 1.00 ms [900 us, 1.10 ms] | 1.00 ms | 17.0 k points/s | 2.00 [1.50, 2.50] "
        "| 2.00 [1.50, 2.50] | 7 | 1 |\n"
    ) in text
    assert (
        "- run 1: 2026-08-01 10:00 UTC; commit 0123456789 with changes; EPYC; 2 cores; OMP_NUM_THREADS=1; "
        "load 0.5 at the end; python 3.11.4, torch 2.13.0\n"
    ) in text


def test_the_same_run_again_changes_nothing():
    once = renewed(EMPTY, run(entry("a"), entry("b", section="test_other.py")))
    assert renewed(once, run(entry("a"), entry("b", section="test_other.py"))) == once


def test_a_part_of_the_benchmarks_renews_its_own_rows_alone():
    before = renewed(EMPTY, run(entry("dlt, 2 views"), entry("dlt, 16 views"), entry("step", section="test_step.py")))
    after = renewed(before, run(entry("dlt, 16 views", wall_s=2e-3), day="2026-09-09"))
    assert rows(after) == [("dlt, 2 views", "ours", "1"), ("dlt, 16 views", "ours", "2"), ("step", "ours", "1")]
    changed = set(after.splitlines()) - set(before.splitlines())
    assert len(changed) == 2
    assert {line.partition(":")[0].partition(" [")[0] for line in changed} == {
        "| dlt, 16 views | ours | 2.00 ms",
        "- run 2",
    }


def test_a_renewed_comparison_loses_the_rows_of_the_run_before():
    """Rows of one comparison are of one run: a peer that took no part is not shown beside those that did."""
    before = renewed(EMPTY, run(entry("dlt"), entry("dlt", peer="kornia", place=1)))
    assert rows(renewed(before, run(entry("dlt"), day="2026-09-09"))) == [("dlt", "ours", "1")]


def test_runs_of_which_nothing_is_left_are_not_listed():
    before = renewed(EMPTY, run(entry("dlt"), torch="1.0"))
    assert "torch 1.0" not in renewed(before, run(entry("dlt"), torch="2.0"))


def test_rows_stand_in_the_order_of_names_numbers_by_size_and_peers_as_they_were_named():
    text = renewed(
        EMPTY, run(entry("dlt, 16 views", "svd", 1), entry("dlt, 2 views"), entry("dlt, 16 views", "ours", 0))
    )
    assert [row[:2] for row in rows(text)] == [
        ("dlt, 2 views", "ours"),
        ("dlt, 16 views", "ours"),
        ("dlt, 16 views", "svd"),
    ]
    assert sorted(["10,000 trials", "256", "9", "trials"], key=natural) == ["9", "256", "10,000 trials", "trials"]


def test_benchmarks_under_no_contract_have_no_row():
    assert rows(renewed(EMPTY, run({"group": None, "extra_info": {}}))) == []


def test_a_text_without_a_place_for_the_table_is_refused():
    with pytest.raises(ValueError, match="no place for the table"):
        renewed("# Words\n", run())


@pytest.mark.parametrize(
    ("value", "expected"),
    [(12.345, "12.3 s"), (0.0123, "12.3 ms"), (4.5e-6, "4.50 us"), (120.0, "120 s"), (0.0, "-"), (float("nan"), "-")],
)
def test_a_time_is_written_with_three_digits(value, expected):
    assert seconds(value) == expected


def test_a_rate_and_a_ratio_are_written_with_three_digits():
    assert [rate(value, "points") for value in (2.5e6, 1234.0, 0.5)] == [
        "2.50 M points/s",
        "1.23 k points/s",
        "0.500 points/s",
    ]
    assert [rounded(value) for value in (0.0, 123456.0, 9.999)] == ["0", "123000", "10.0"]
