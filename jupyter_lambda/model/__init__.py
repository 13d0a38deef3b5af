"""The words: frozen dataclasses and constants, standard library only."""
