"""Images to region features: backbones, resumable extraction and the memory-mapped store."""
