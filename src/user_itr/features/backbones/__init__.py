"""Networks that turn an image into K region vectors, behind one interface and one registry."""
