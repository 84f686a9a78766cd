"""Verification of a run by ear: the sample, its page, and estimates from labels.

May import the report and all below it. ``units`` and ``frame`` define and count units,
``sample`` draws some, ``page`` makes the page, ``density`` estimates, ``verify`` joins all steps,
``training`` makes training data of labels. This room scores nothing and decodes only clips.
"""
