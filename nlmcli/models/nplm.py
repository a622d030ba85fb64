"""The neural probabilistic language model with direct connections from the embeddings to the output.

x_t = [e_{t-n+1}; ...; e_t];   y_t = tanh(x_t W1 + b1) W2 + x_t W3 + b2.          Bengio et al. 2003
"""

import numpy as np

from nlmcli.models.window import Window
from nlmcli.nn.dropout import dropout, dropout_backward
from nlmcli.nn.embedding import context_windows
from nlmcli.nn.window import add_gradients, window


class NPLM(Window):
    """A window whose head reads [tanh(x_t W1 + b1); x_t] with [W2; W3].  State and sizes are those of Window."""

    lr_scale = 7.5

    def shapes(self):
        n, D, H = self.config.context, self.config.embed, self.config.hidden
        output = self.output_shapes(H + n * D) if self.has_joint_output else {"W2": (H, self.V), "W3": (n * D, self.V), "b2": (self.V,)}
        return {**self.embedding_shapes(), "W1": (n * D, H), "b1": (H,), **output}

    @property
    def has_joint_output(self):
        """Whether one matrix reads [tanh(x_t W1 + b1); x_t], the projection to tied embeddings or that of an adaptive softmax."""
        return self.config.tie or bool(self.cutoffs)

    def head(self, P):
        return super().head(P) if self.has_joint_output else (P.stacked("W2", "W3"), P.b2)  # W2 and W3 are adjacent in θ

    def forward(self, P, x, state, rng=None):
        ids, before = context_windows(state[0], x)
        out, cache = window(P.E, ids.reshape(x.size, -1), P.W1, P.b1)
        read, keep = self.drop(out, rng)
        y, projection_cache = self.project(P, read.reshape(*x.shape, -1))
        return y, (before,), (cache, keep, projection_cache)

    def backward(self, dout, cache, G):
        window_cache, keep, projection_cache = cache
        dout = self.project_backward(dout, projection_cache, G)
        dout = dout.reshape(-1, dout.shape[-1])
        if keep is not None:
            dout = dout.copy()
            (dout[:, : self.config.hidden],) = dropout_backward(dout[:, : self.config.hidden], keep)
        add_gradients(dout, window_cache, G.E, G.W1, G.b1)

    def drop(self, out, rng):
        """Dropout of the hidden units, not of the embeddings."""
        h, keep = dropout(out[:, : self.config.hidden], self.config.dropout, rng)
        return (out, None) if keep is None else (np.concatenate([h, out[:, self.config.hidden :]], axis=1), keep)
