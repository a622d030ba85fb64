"""nlm predict: the answers of a run that was trained on labelled texts."""

import json as json_module
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from nlmcli.cli import options, report
from nlmcli.errors import InputError
from nlmcli.options import check_at_least

File = Annotated[
    str | None,
    typer.Argument(metavar="FILE", help=r"A text a line, or a file like the one of the training; - reads stdin.", show_default=False),
]
Texts = Annotated[
    list[str] | None, typer.Option(metavar="TEXT", help="Answer this text; of a pair give both, each with --text.", show_default=False)
]
Probs = Annotated[
    int | None,
    typer.Option(metavar="K", help="The K most probable labels of each text or word, with their probabilities.", show_default=False),
]


def predict(
    file: File = None,
    text: Texts = None,
    run: options.Run = None,
    probs: Probs = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each text.")] = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Predict labels, numbers or tags with a run of --task classify, regress or tag.

    Prints one line for each line of the file, in its order: LABEL, a tab and
    its probability, or the number; of words a line each, WORD, a tab and TAG,
    and a blank line after each text.

    Example: nlm predict --text "students opened their books."
    """
    from nlmcli.engine.run.saved import newest_run
    from nlmcli.engine.run.task_model import TaskModel
    from nlmcli.engine.scoring.predict import Answering, file_examples, split_words, text_example

    check_at_least("probs", probs, 1)
    if (file is None) == (text is None):
        raise InputError("give either a FILE or --text" if file is None else "FILE and --text cannot be combined; give only one of them")
    options.announce_compiling(quiet)
    model = TaskModel.load(run or newest_run())
    tags = model.settings.task == "tag"
    source = file_examples(model, file) if file is not None else None
    examples: Any = source if source is not None else [text_example(model, tuple(text or ()))]
    if source is not None and not quiet and source.description != "lines":
        report.message(f"{report.printable(source.name)} is {source.description}; its answers, if it has any, are not read")
    if tags:
        examples = split_words(examples, source)
    names = [report.printable(name) for name in model.labels.names]
    for chunk in Answering(model).predict(examples, min(probs or 1, max(1, len(names)))):
        lines = json_lines(chunk, names, tags) if json else tag_lines(chunk, names, bool(probs)) if tags else text_lines(chunk, names)
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()


def text_lines(chunk: Any, names: list[str]) -> Iterator[str]:
    """A line for each text."""
    if chunk.numbers is not None:
        yield from (f"{value:.6g}" for value in chunk.numbers.tolist())
        return
    for labels, ps in zip(chunk.labels.tolist(), chunk.probabilities.tolist(), strict=True):
        yield "\t".join(f"{names[i]}\t{p:.4f}" for i, p in zip(labels, ps, strict=True))


def tag_lines(chunk: Any, names: list[str], with_probabilities: bool) -> Iterator[str]:
    """A line for each word: the word, its tag in the file if it has one, and the tag that is predicted."""
    rows = iter(zip(chunk.labels.tolist(), chunk.probabilities.tolist(), strict=True))
    for example in chunk.examples:
        for k, word in enumerate(example.texts):
            labels, ps = next(rows)
            given = f"\t{report.printable(example.answers[k])}" if example.answers else ""
            answers = "\t".join(f"{names[i]}\t{p:.4f}" if with_probabilities else names[i] for i, p in zip(labels, ps, strict=True))
            yield f"{report.printable(word)}{given}\t{answers}"
        yield ""


def json_lines(chunk: Any, names: list[str], tags: bool) -> Iterator[str]:
    """A JSON object for each text."""
    if chunk.numbers is not None:
        yield from (json_module.dumps({"number": value}) for value in chunk.numbers.tolist())
        return
    rows = iter(zip(chunk.labels.tolist(), chunk.probabilities.tolist(), strict=True))
    for example in chunk.examples:
        if tags:
            answers = [next(rows) for _ in example.texts]
            found: dict[str, Any] = {
                "words": list(example.texts),
                "tags": [names[labels[0]] for labels, _ in answers],
                "p": [ps[0] for _, ps in answers],
            }
        else:
            labels, ps = next(rows)
            found = {"label": names[labels[0]], "p": ps[0]}
            if len(labels) > 1:
                found["probabilities"] = {names[i]: p for i, p in zip(labels, ps, strict=True)}
        yield report.as_json(found)
