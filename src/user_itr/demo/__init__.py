"""What `user-itr demo` works on: photographs in the public domain, in the folder `photos`."""
