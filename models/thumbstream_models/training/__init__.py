"""Shared by all trainings: configuration, pictures, loop, checkpoints, export, model folder."""
