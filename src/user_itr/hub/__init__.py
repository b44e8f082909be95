"""Models by name: what a name means on this machine, a short choice, and how to fetch one."""
