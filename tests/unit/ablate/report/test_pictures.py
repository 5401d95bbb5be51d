"""Pictures of trials: which are found, at which seed, and what a page has room for."""

import pytest

from ablate.report.build import write_report
from ablate.report.pictures import choose_pictures

DRAWING = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(2)</script></svg>'


@pytest.fixture
def save(store):
    def save(trial, name, content=b"\x89PNG not really"):
        path = store.artifacts(trial.spec.id) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return save


def of(plan, arm, seed):
    return next(trial for trial in plan.trials if (trial.name, trial.spec.seed) == (arm, seed))


def test_a_name_is_shown_at_the_seed_at_which_most_arms_have_it(plan, store, save):
    for arm in ("ours", "learned weights"):
        save(of(plan, arm, 1), "court/view.png")
    save(of(plan, "ours", 0), "court/view.png")
    save(of(plan, "ours", 0), "notes.txt")
    (row,) = write_report(plan, store).content.pictures
    assert (row.name, row.seed, row.absent) == ("court/view.png", 1, ("without weights",))
    assert [picture.arm for picture in row.pictures] == ["ours", "learned weights"]


def test_pictures_are_inside_the_page_and_a_drawing_runs_nothing(plan, store, save):
    save(of(plan, "ours", 0), "a.svg", DRAWING.encode())
    save(of(plan, "ours", 0), "b.JPG")
    page = write_report(plan, store).html.read_text()
    assert '<img src="data:image/svg+xml;base64,' in page
    assert '<img src="data:image/jpeg;base64,' in page
    assert "alert(2)" not in page


def test_what_has_no_room_is_named(plan, store, save):
    save(of(plan, "ours", 0), "a_large.png", b"x" * 3000)
    save(of(plan, "ours", 0), "b_small.png", b"x" * 30)
    rows = write_report(plan, store).content.pictures
    chosen, left_out = choose_pictures(rows, limit=4000)
    assert [row.name for row in chosen] == ["a_large.png"]
    chosen, left_out = choose_pictures(rows, limit=3999)
    assert [row.name for row in chosen] == ["b_small.png"]
    assert left_out[0].startswith("a_large.png (1 arms, 0.0 MB) has no room on a page")
    assert of(plan, "ours", 0).spec.id in left_out[0]


def test_a_study_without_pictures_has_no_section(plan, store):
    assert 'id="pictures"' not in write_report(plan, store).html.read_text()
