"""How well a photo fits a sentence, in words that mean the same for every model.

`ordinary.txt` holds ordinary sentences, written for this package. `reference` keeps what they score
in an index, `match` reads a score against that, `judging` does so for a search, and `remarks` names
what the model cannot know.
"""
