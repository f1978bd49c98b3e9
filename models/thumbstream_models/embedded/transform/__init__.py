"""The transform of the second edition: a fixed linear part and networks that add to it."""
