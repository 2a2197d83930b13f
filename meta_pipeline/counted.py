"""A number with what it counts, in words that agree: "1 run", "2,700 runs", "0 runs".

Belongs here: nothing else. Every surface and every stored sentence counts in the same way.
"""


def counted(number: float, one: str, many: str | None = None) -> str:
    """Write a number and what it counts.

    Parameters
    ----------
    number
        How many; finite. Whole ones are written with thousands separators, others with six digits that count.
    one
        What a single one is called, with its verb if there is one: "day", "distinct run", "fill was".
    many
        What any other number of them is called; None: `one` with an "s" at its end.
    """
    written = f"{int(number):,}" if float(number).is_integer() else f"{number:,g}"
    return f"{written} {one if number == 1 else many if many is not None else one + 's'}"
