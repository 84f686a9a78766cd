"""Calls for other programs and for publication: their tables, their JSON, data packages, clips.

Imports ``survey``, ``tables``, ``storage`` and ``model``; no Beam.

- ``tool_formats``: Raven, Audacity, Kaleidoscope, BirdNET. ``json_formats``: AOEF, Label Studio.
- ``species``: the bird's names in all of them.
- ``publication``: Camtrap DP and Darwin Core. ``clips``: calls as audio files of their own.
"""
