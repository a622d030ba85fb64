"""Every optimizer's first steps on the saddle f(x, y) = x² - y², df/dx = 2x, df/dy = -2y, by the classes that train models.

They start in a steep valley along x, near the top of a flat ridge along y: who leaves it?
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from nlmcli.engine.checking.examples.base.numeric import Line, jacobian, slope
from nlmcli.optim import OPTIMIZERS
from nlmcli.optim.base.optimizer import Optimizer

START, STEPS, RATE = np.array([-1.0, 0.001]), 5, 0.05


def height(at: np.ndarray) -> float:
    """f(x, y) = x² - y²."""
    return float(at[0] ** 2 - at[1] ** 2)


def gradient(at: np.ndarray) -> np.ndarray:
    """(df/dx, df/dy) = (2x, -2y)."""
    return np.array([2 * at[0], -2 * at[1]])


def curvature() -> np.ndarray:
    """(d²f/dx², d²f/dy²) = (2, -2), everywhere."""
    return np.array([2.0, -2.0])


def new(name: str) -> Optimizer:
    """An optimizer of x and y with its default constants; weight decay, if it has any, shrinks both."""
    kind = OPTIMIZERS.get(name)
    return kind(kind.Config(), START.size, np.float64, [slice(0, START.size)])


def path(name: str) -> np.ndarray:
    """(x, y) before the first step and after each.  -> (STEPS + 1, 2)

    To an optimizer that needs curvature, `measure` gives n g² = max(f'', 0), from n = 1 and g = √max(f'', 0). Where f'' > 0 this
    is Hutchinson's estimate u ⊙ (H u), exact since H is diagonal; a negative estimate and 0 both mean a step clipped to η.
    """
    optimizer, theta = new(name), START.copy()
    points = [theta.copy()]
    for t in range(1, STEPS + 1):
        if optimizer.needs_curvature(t):
            optimizer.measure(np.sqrt(np.maximum(curvature(), 0)), 1)
        optimizer.step(theta, gradient(theta), 1.0, RATE, t)
        points.append(theta.copy())
    return np.array(points)


def start() -> list[Line]:
    """Where they start, with the gradient and the curvature there."""
    numeric, second = slope(height, START), np.diag(jacobian(gradient, START))
    return [
        ("f(x, y) = x^2 - y^2: a valley along x, a ridge along y, flat at x = y = 0", None, None),
        ("x", START[0], None),
        ("y", START[1], None),
        ("f", height(START), None),
        *((what, gradient(START)[i], numeric[i]) for i, what in enumerate(["df/dx = 2x", "df/dy = -2y"])),
        *((what, curvature()[i], second[i]) for i, what in enumerate(["d2f/dx2 = 2", "d2f/dy2 = -2"])),
    ]


def constants(optimizers: dict[str, Optimizer]) -> list[Line]:
    """What the optimizers are given, apart from the gradient."""
    decays = {name: optimizer.config.weight_decay for name, optimizer in optimizers.items() if hasattr(optimizer.config, "weight_decay")}
    measured = [name for name, optimizer in optimizers.items() if optimizer.needs_curvature(1)]
    return [
        ("The same learning rate for all, the other constants as in nlm train", None, None),
        ("learning rate", RATE, None),
        *((f"weight decay of {name}, shrinks x and y", decay, None) for name, decay in decays.items()),
        *((f"curvature given to {name}, max(d2f, 0)", np.maximum(curvature(), 0), None) for name in measured),
    ]


def table(title: str, column: str, of: Callable[[np.ndarray], np.ndarray], paths: dict[str, np.ndarray]) -> list[Line]:
    """A heading, the numbers of the steps, and a row for each optimizer.  of: points (STEPS + 1, 2) -> (STEPS + 1,)"""
    return [(title, None, None), (column, np.arange(STEPS + 1), None), *((name, of(points), None) for name, points in paths.items())]


def along(points: np.ndarray) -> list[Line]:
    """The gradient at each of these points."""
    gradients, numeric = (np.array([of(point) for point in points]).T for of in (gradient, partial(slope, height)))
    return [
        ("The gradient at each step of sgd, which is all that sgd knows", None, None),
        ("df/dx", gradients[0], numeric[0]),
        ("df/dy", gradients[1], numeric[1]),
    ]


def first_steps(paths: dict[str, np.ndarray]) -> list[Line]:
    """The first step of each optimizer along x and along y, and their ratio."""
    steps = {name: np.abs(points[1] - points[0]) for name, points in paths.items()}
    return [
        ("The first step: how far along x, how far along y, y / x", None, None),
        ("rmsprop: 1 / sqrt(1 - beta2) times the learning rate, which adam corrects", None, None),
        *((name, np.array([*step, step[1] / step[0]]), None) for name, step in steps.items()),
    ]


def lines() -> list[Line]:
    """x, y and f of every optimizer, before the first step and after each."""
    names = OPTIMIZERS.names()
    paths = {name: path(name) for name in names}
    ridge = "y, with almost no slope: steps divided by past gradients leave the ridge"
    return [
        *start(),
        *constants({name: new(name) for name in names}),
        *first_steps(paths),
        *table("x, with a steep slope: momentum gathers speed", "x after step", lambda points: points[:, 0], paths),
        *table(ridge, "y after step", lambda points: points[:, 1], paths),
        *table("f = x^2 - y^2", "f after step", lambda points: np.array([height(point) for point in points]), paths),
        *along(paths["sgd"]),
    ]
