"""What training minimises: the unified training objective, the momentum encoders and their queues."""
