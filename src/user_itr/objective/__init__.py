"""What training minimises: the unified training objective, momentum encoders, their queues."""
