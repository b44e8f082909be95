"""Frozen image encoders that describe a whole image by one vector, the guide of CGE."""
