"""What the calls of a lek say of its birds: bouts, rates, turns, the least number of males.

Imports ``survey``, ``report`` (the frame of its page) and what lies below them; no Beam. All of it
reads the tables of a run: nothing is decoded again.

- ``stretches``: calls and time recorded without a break, by site and period.
- ``bouts``, ``turns``, ``males``: pure functions of calls' times and voices.
- ``season``: the rows of lek.csv and bouts.csv. ``page``: lek.html.
"""
