"""Official checkpoints of USER and VSE-infinity, turned into ours.

`reading` opens the file without running what is in it, `layout` says which tensors it must hold,
`converting` makes the model.
"""
