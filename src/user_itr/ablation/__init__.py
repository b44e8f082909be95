"""Grids of named configurations over seeds: planned, run, measured, compared, drawn.

`grid` reads a grid's file, `runner` trains what is not there yet, `measurement` keeps what a run
does on the dev split, `comparison` sets rows against the reference, `report` and `plot` write it
down.
"""
