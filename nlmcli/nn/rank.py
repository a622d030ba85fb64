"""The rank of a token among all tokens, from the most probable one: 0 is what greedy decoding chooses."""

import math

from nlmcli.nn.kernel import kernel


@kernel
def rank_of(scores, target, excluded):
    """How many tokens come before the target, by score, equals by their ids, as a stable sort has them.

    scores (V,): logits or probabilities.  excluded: a token that is never chosen, such as <unk>; -1 for none. A target whose
    score is not a number comes last.
    """
    at_target = scores[target]
    if math.isnan(at_target):
        return scores.size
    before = 0
    for v in range(target):
        before += scores[v] >= at_target
    for v in range(target + 1, scores.size):
        before += scores[v] > at_target
    if 0 <= excluded != target:
        before -= scores[excluded] > at_target or (scores[excluded] == at_target and excluded < target)
    return before
