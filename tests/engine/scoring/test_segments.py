"""A text scored in segments: the same figures for any number of threads, whatever the model, and however it is read."""

import numpy as np
import pytest

from nlmcli.engine.gradient.threads import ThreadPool
from nlmcli.engine.scoring.evaluate import score_text, token_scores
from nlmcli.engine.scoring.segments import CHUNK, stream_segments
from nlmcli.models import neural_names

WORDS = ["the", "red", "ants", "saw", "a", "blue", "cat", "that", "slept", "on", "a", "mat", "near", "two", "large", "dogs", "."]
POOLS = [ThreadPool(n) for n in (1, 2, 3)]


def text_of(rng, tokens):
    """Lines of random words, of 1 to 30 each."""
    words, lines = list(rng.choice(WORDS, tokens)), []
    while words:
        n = int(rng.integers(1, 30))
        lines.append(" ".join(words[:n]))
        words = words[n:]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("by", ["stream", "line"])
@pytest.mark.parametrize("model", neural_names())
def test_scores_have_the_same_bits_for_any_number_of_threads(model, by, precision, training):
    lm = training(model, by=by, precision=precision, embed=24, hidden=24).lm
    text = text_of(np.random.default_rng(0), 2 * CHUNK + 100)
    scores = [[np.concatenate(arrays) for arrays in zip(*token_scores(lm, text, pool), strict=True)] for pool in POOLS]
    for ids, nll, rank in scores[1:]:
        assert (ids == scores[0][0]).all() and nll.tobytes() == scores[0][1].tobytes() and (rank == scores[0][2]).all()


def test_a_run_is_evaluated_in_its_precision(training):
    text = text_of(np.random.default_rng(1), 300)
    rounded, exact = (training("lstm", precision=precision, embed=40, hidden=40).lm for precision in ("bf16", "float32"))
    assert rounded.P.flat.tobytes() == exact.P.flat.tobytes()  # neither has learned anything yet
    nats = [score_text(lm, text).nats for lm in (rounded, exact)]
    assert nats[0] != nats[1] and nats[0] == pytest.approx(nats[1], rel=1e-3)


def test_a_stream_carries_its_state_and_its_last_token_into_the_next_segment():
    first, second = stream_segments([np.array([5, 6, 7]), np.array([8])], first=1)
    assert first.x[:, 0].tolist() == [1, 5, 6] and first.targets[:, 0].tolist() == [5, 6, 7] and first.is_first
    assert second.x[:, 0].tolist() == [7] and second.targets[:, 0].tolist() == [8] and not second.is_first


def test_an_error_in_the_text_reaches_the_caller(training):
    lm = training("rnn").lm

    def broken():
        yield np.array([1, 2])
        raise OSError("gone")

    from nlmcli.engine.scoring.segments import scored

    for pool in POOLS:
        with pytest.raises(OSError, match="gone"):
            list(scored(lm, stream_segments(broken(), 1), pool))
