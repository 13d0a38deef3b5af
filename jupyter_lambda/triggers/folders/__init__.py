"""Folders whose files fire functions.

``scan`` looks, ``changes`` decides (pure), ``watching`` hears of changes early, ``telling`` writes the events, ``host``
is the part of ``Triggers``. What is told is found by looking, never by what the operating system reported: that only
says when to look, so that an overflow, a restart or a network file system loses nothing.
"""
