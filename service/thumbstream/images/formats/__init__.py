"""One module per file format: checks the file, and opens it with Pillow.

Pillow does not limit everything that a file may cost, reads metadata that is never needed here, and
does not report everything that says how its samples are to be shown. So each module reads the
structure of its format itself: it counts what could be costly, hands Pillow the parts that hold
pixels, and returns the rest as a `Source`.
"""
