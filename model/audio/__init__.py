"""From a file to mono audio at 16 kHz in blocks: layouts, decoders, channels, quality.

``recording`` opens a file, ``isolated`` does so in a process apart. This room knows no network and
no counting: of ``model`` it imports ``windows`` alone.
"""
