"""A store filled with the pictures of a folder or of a list, by the million.

    walk -> (journal: done?) -> jobs, on all cores or a cluster -> store -> journal

``walk`` finds paths one after the other, ``journal`` remembers what is done, ``jobs`` is the work
on some pictures, an ``engine`` (``processes`` of this machine, or a Dask ``cluster``) does it,
``keeper`` writes to the store, ``runner`` is the loop around it all. Memory does not grow with the
number of pictures.
"""
