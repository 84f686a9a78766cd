"""Data for others: a Camtrap DP package and a Darwin Core archive, made of a survey.

May import what ``pipeline.exports`` may. ``camtrap_dp_1_0_2/`` holds the table schemas and the
profile of Camtrap DP 1.0.2 as TDWG publishes them (github.com/tdwg/camtrap-dp, MIT licence beside
them), ``templates/`` the two documents of a Darwin Core archive. Headers are made from the schemas
and from ``meta.xml``, and tests validate against them.
"""
