"""Training: batches, the step, the loop, and checkpoints that resume exactly."""
