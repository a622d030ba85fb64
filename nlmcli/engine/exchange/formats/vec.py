"""Word vectors as text, the format of word2vec: a line with V and D, then a line with each token and the numbers of its embedding."""

from typing import IO

from nlmcli.engine.exchange.format import Format, check_embeddings, printable_names, quoting_note


class Vec(Format):
    """The embeddings E.  Every number has nine digits, which give back the same float32."""

    about = "word vectors as text (word2vec): gensim, spaCy, fastText"
    endings = (".vec",)
    usage = 'gensim.models.KeyedVectors.load_word2vec_format("{path}")'

    def check(self, run):
        check_embeddings(run)

    def notes(self, run):
        return quoting_note(run.tokenizer)

    def files(self, run):
        names = printable_names(run.tokenizer)

        def write(file: IO[bytes]) -> None:
            file.write(f"{len(names)} {run.P.E.shape[1]}\n".encode())
            for name, row in zip(names, run.P.E, strict=True):
                file.write(f"{name} {' '.join([f'{x:.9g}' for x in row.tolist()])}\n".encode())

        return {"": write}
