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
    return scores.size if math.isnan(at_target) else number_before(scores, at_target, target, excluded)


@kernel
def number_before(scores, at_target, target, excluded):
    """The number of scores before that of the target. Neither target nor excluded need be one of these tokens.

    If a vocabulary is in parts, the rank is the sum over them; target and excluded count from the first token of the part.
    """
    before = np.int32(0)  # as many bits as a score: so the comparisons are counted sixteen at a time
    first, others = scores[: max(0, target)], scores[max(0, target + 1) :]
    for v in range(first.size):
        before += np.int32(first[v] >= at_target)
    for v in range(others.size):
        before += np.int32(others[v] > at_target)
    if 0 <= excluded < scores.size and excluded != target:
        before -= scores[excluded] > at_target or (scores[excluded] == at_target and excluded < target)
    return before
