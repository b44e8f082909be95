"""Our models where other libraries expect theirs; each file needs its library installed."""
