"""The command line: `python -m gclip_lessons norms.csv` says what a log of gradient norms says about clipping."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gclip_lessons.norm_log import LogError, advise, read_norms


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the advice on a log and write its picture; return 0, or 1 after one line on what went wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m gclip_lessons",
        description="Advice on gradient clipping from your own log of gradient norms: CSV, JSON lines, or the "
        "trainer_state.json of Hugging Face's Trainer.",
    )
    parser.add_argument("log", help="the file with the norms")
    parser.add_argument("--column", metavar="NAME", help="the column of norms, if its name does not tell")
    parser.add_argument(
        "--picture", metavar="FILE.png", help="where the picture goes (default: beside the log, as LOG.norms.png)"
    )
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):  # a terminal that knows no η shows a question mark
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        advice = advise(read_norms(options.log, options.column))
    except LogError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(advice.text, flush=True)

    from gclip_lessons.figures.norms import NormsFigure  # not before it is needed: drawing takes a second to load

    picture = Path(options.picture or f"{options.log}.norms.png")
    try:
        picture.write_bytes(NormsFigure(advice).png(2))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        print(f"error: the picture cannot be written to {picture} ({why}): say where with --picture", file=sys.stderr)
        return 1
    print(f"\nPicture: {picture}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # the reader has seen enough, as in `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at its end
        sys.exit(1)
