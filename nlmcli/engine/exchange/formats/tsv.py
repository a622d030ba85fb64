"""The embeddings as vectors.tsv, and the tokens as metadata.tsv, for the Embedding Projector of TensorBoard."""

from typing import IO

from nlmcli.engine.exchange.format import Format, check_embeddings, printable_names, quoting_note


class Tsv(Format):
    """vectors.tsv has a row for each token; metadata.tsv its name and how often it occurs in the training text."""

    about = "a folder with vectors.tsv and metadata.tsv: the Embedding Projector (projector.tensorflow.org)"

    def check(self, run):
        check_embeddings(run)

    def notes(self, run):
        return quoting_note(run.tokenizer)

    def files(self, run):
        names, counts = printable_names(run.tokenizer), run.tokenizer.counts.tolist()

        def write_vectors(file: IO[bytes]) -> None:
            for row in run.P.E:
                file.write(("\t".join([f"{x:.9g}" for x in row.tolist()]) + "\n").encode())

        def write_metadata(file: IO[bytes]) -> None:
            file.write(b"token\tcount\n")
            file.writelines(f"{name}\t{count}\n".encode() for name, count in zip(names, counts, strict=True))

        return {"vectors.tsv": write_vectors, "metadata.tsv": write_metadata}
