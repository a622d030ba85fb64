"""Trains small models on the ranks that mpiexec started, and writes what came out: mpi_runs.py PLAN.json, see test_ranks.py."""

import json
import sys
import time
import traceback
from hashlib import sha256
from pathlib import Path

from nlmcli.engine.gradient import team
from nlmcli.engine.gradient.ranks import end_all, ranks
from nlmcli.engine.run.settings import Settings
from nlmcli.engine.scoring import evaluate
from nlmcli.engine.training.train import Training


def main(plan):
    evaluate.TOGETHER = 2  # so that there are several batches of lines to share out
    here, results = ranks(), []
    for run in plan["runs"]:
        team.LARGE = run["large"]
        if run.get("resume"):
            training = Training.resumed(Path(run["folder"]), {}, plan["threads"])
        else:
            training = Training(Settings.from_dict(run["options"]), Path(run["folder"]), plan["threads"])
        for record in training.run():
            step = getattr(record, "step", -1)
            training.stop |= step == run.get("stop")
            if step == run.get("raise") and here.rank == 1:
                raise RuntimeError("planted")
            time.sleep(plan.get("slow", 0))
        flat = training.lm.P.flat.tobytes()
        digests = here.all_of([sha256(flat).hexdigest()])
        assert len(set(digests)) == 1, f"the ranks have different parameters: {run}"
        score = evaluate.score_text(training.lm, training.dataset.held_out, pool=training.learner.team.workers, ranks=here)
        results.append([digests[0], record.valid_loss, record.train_loss, score.report()])
    if here.rank == 0:
        Path(plan["results"]).write_text(json.dumps(results))


try:
    main(json.loads(Path(sys.argv[1]).read_text()))
except BaseException:
    traceback.print_exc()
    end_all(1)
