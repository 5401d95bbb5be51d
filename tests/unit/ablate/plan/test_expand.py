from ablate.study.load import load_study
from ablate.plan.expand import expand
from ablate.plan.describe import describe


def test_x(toy_project):
    p = expand(load_study(toy_project.study))
    print(*describe(p, []), sep="\n")
    for t in p.trials:
        print(t.label, t.spec.id, t.spec.content())
    toy_project.edit("method.sigma_mm: 20", "method.sgima_mm: 20, methd.x: 3, method.num_steps: a")
    toy_project.edit("pretrain}", "pretrian}") if False else None
    try:
        expand(load_study(toy_project.study, ["method.kind=wieghted", "data.foo.bar=3"]))
    except Exception as e:
        print(e)
    try:
        expand(load_study(toy_project.study, ["method=smoth", "data", "~x", "a=1,2", "x/y=3"]))
    except Exception as e:
        print(e)
    assert 0
