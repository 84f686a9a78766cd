"""Checking a run by ear: what to listen to, the page for it, and the numbers that follow.

May import the report and all below it. ``units`` and ``frame`` say what there is to be checked,
``sample`` draws from it, ``page`` makes the page, ``density`` estimates, ``verify`` ties it all up.
Nothing here is scored again, and nothing but the clips of a sample is decoded.
"""
