"""What `user-itr demo` works on: photos that installed packages ship."""
