"""The default codec (format 8): a fixed linear transform and networks that add to it."""
