"""Generation: the next token of a running text.

    p = softmax(h_t U + b2), L = -ln p[next token]

U belongs to the architecture, since it may be tied to the embeddings or read more than h_t, so a model brings this head with it:
`step`, `score` and `logits` of models/base/model.py.
"""

from dataclasses import dataclass

from nlmcli.heads.base.head import Task


@dataclass(frozen=True)
class Config:
    pass


class Generate(Task):
    """P(next token | text so far)."""

    Config = Config
    labelled = False
