"""What all trainings share: configuration, pictures, the loop, checkpoints."""
