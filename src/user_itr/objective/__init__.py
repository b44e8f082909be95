"""The losses of training: the unified training objective, momentum encoders and their queues."""
