"""A module beside the actions, imported by them."""


def greeting(name):
    return f"Hello, {name}!"
