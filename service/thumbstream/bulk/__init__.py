"""Encodes the pictures of a folder or a list into a store: millions in one run.

    scan -> (journal: done?) -> jobs, on all cores or a cluster -> writer -> journal

``scan`` yields paths one by one, ``journal`` records what is done, ``jobs`` encodes some files, a
worker pool runs it (``pool``: processes of this machine, ``cluster``: Dask), ``writer`` writes to
the store, and ``runner`` is the loop around them. Memory does not grow with the number of pictures.
"""
