"""The rank of a token in the vocabulary: 0 for the token that greedy decoding chooses."""

import math

import numpy as np

from nlmcli.nn.kernel import kernel


@kernel
def rank_of(scores, target, excluded):
    """The number of tokens before the target in a stable sort by descending score; V if its score is NaN.

    scores (V,): logits or probabilities.  excluded: a token that is never chosen, such as <unk>; -1 for none.
    """
    at_target = scores[target]
    if math.isnan(at_target):
        return scores.size
    before = np.int32(0)  # as many bits as a score: so the comparisons are counted sixteen at a time
    first, others = scores[:target], scores[target + 1 :]
    for v in range(first.size):
        before += np.int32(first[v] >= at_target)
    for v in range(others.size):
        before += np.int32(others[v] > at_target)
    if 0 <= excluded != target:
        before -= scores[excluded] > at_target or (scores[excluded] == at_target and excluded < target)
    return before
