"""Goes through what our converter wrote with a reader that knows nothing of us."""

import sys


def report(disagreement):
    """Prints the lines of standard input whose parts disagree, then how many agreed."""
    count = 0
    for line in sys.stdin:
        parts = line.rstrip("\n").split("\t")
        try:
            problem = disagreement(*parts)
        except Exception as error:
            problem = f"cannot be read: {error!r}"
        if problem:
            print("\n  ".join([*parts, problem]))
        else:
            count += 1
    print(count)
