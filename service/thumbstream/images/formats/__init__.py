"""Modules for the file formats: each checks a picture file and opens it with Pillow.

Pillow alone is not enough: it does not limit the time that every hostile file takes, it parses
metadata that is not needed here, and it does not report every color space, orientation and crop.
So each module parses the structure of its format. It limits the number of parts that are slow to
read, passes the parts with pixels to Pillow, and returns the image with its color space,
orientation and crop as a `Source`.
"""
