"""`user-itr serve`: a REST interface and a page over an index of photos.

`app.py` puts it together; `routes.py` is the interface, `schemas.py` what goes in and out,
`searching.py` what it does. `guard.py` decides who is answered, `uploads.py` what is taken in,
`pictures.py` what is sent of a photo. `static/` is the page.
"""
