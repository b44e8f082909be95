"""What other people's code wrote, told apart and brought into the order of the items.

`arrays` reads files, `ids` matches rows by id, `recognise` tells copies, transposed matrices and
distances apart, `order` names the orders that would fit better.
"""
