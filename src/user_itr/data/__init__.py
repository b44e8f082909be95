"""Captioned image sets: their description, the readers of five layouts, image files.

`captions.CaptionedImages` is what every reader returns and every consumer takes;
`readers.load_captions` reads any supported layout into it.
"""
