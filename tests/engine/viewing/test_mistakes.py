"""The worst answers of a task model are those of predict."""

import pytest

import nlmcli
from nlmcli.engine.run import saved
from nlmcli.engine.scoring.evaluate_task import evaluate_task
from nlmcli.engine.viewing import mistakes

LINES = {
    "classify": [f"{'good' if k % 3 else 'bad'}\tthe {'ants' if k % 4 else 'cats'} sat on mat {k} ." for k in range(90)],
    "regress": [f"{k % 7}\tthe {'ants ' * (k % 5)}sat on mat {k} ." for k in range(90)],
    "tag": [line for k in range(60) for line in ("the\tO", f"ants{k % 9}\t{'B' if k % 2 else 'I'}-X", "sat\tO", f"m{k}\tO", "")],
}


@pytest.mark.parametrize("task", ["classify", "regress", "tag"])
def test_worst_answers(tmp_path, task):
    (path := tmp_path / "t.tsv").write_text("\n".join(LINES[task]) + "\n")
    options = {"model": "additive", "steps": 12, "embed": 4, "valid_fraction": 0.4, "task": task}
    trained = nlmcli.train(path, tmp_path / "run", threads=1, **options)
    model = saved.load(tmp_path / "run")
    found = list(mistakes.answers(model))
    judgement = evaluate_task(model).judgement
    texts = list(dict.fromkeys(each.texts for each in found))
    if task == "tag":
        answers = [word for text in trained.predict([" ".join(text) for text in texts]) for _, word in text]
        assert [each.said for each in found] == answers and [each.texts[each.word] for each in found[:3]] == list(found[0].texts[:3])
        shown = mistakes.sentences(found, 5)
        assert len(shown) == 5 and [word["word"] for word in shown[0]] == list(found[0].texts)
        assert [word["said"] for sentence in shown for word in sentence] == answers[: sum(map(len, shown))]
    else:
        assert mistakes.sentences(found, 5) == []
    if task == "classify":
        said = dict(zip([text[0] for text in texts], trained.predict([text[0] for text in texts]), strict=True))
        assert all(said[each.texts[0]] == (each.said, pytest.approx(each.badness, rel=1e-5)) for each in found if each.badness)
    if task == "regress":
        assert sum(each.badness for each in found) / len(found) == pytest.approx(judgement.correlation.mae, rel=1e-5)
    else:
        assert sum(each.badness > 0 for each in found) == judgement.accuracy.count - judgement.accuracy.correct > 0
    worst = mistakes.worst(found, 4)
    wrong = sorted((each.badness for each in found if each.badness > 0), reverse=True)
    assert [each.badness for each in worst] == wrong[:4]
