"""`python -m user_itr` is `user-itr`; `torchrun -m user_itr train ...` needs it as a module."""

from user_itr.cli import main

if __name__ == "__main__":
    main()
