"""One module for each command: its flags, one call, and what is printed.

May import everything below it. Nothing imports a command but ``pipeline.__main__``.
"""
