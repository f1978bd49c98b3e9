"""Encodes the pictures of a folder or a list into a store; one run can encode millions.

    scan -> (journal: done?) -> encode_files, on all cores or a cluster -> writer -> journal

``scan`` yields paths one by one, ``journal`` records the result of each file, ``encode_files``
encodes a batch of files, a worker pool runs `encode_files` (``pool``: processes of this machine,
``cluster``: Dask), ``writer`` writes to the store, and ``runner`` contains the main loop. Memory
does not grow with the number of pictures.
"""
