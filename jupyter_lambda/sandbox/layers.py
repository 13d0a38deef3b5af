"""Layers laid over each other as one directory of symbolic links, where nothing can be mounted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def merge_layers(layers: Sequence[Path], target: Path) -> None:
    """Make ``target`` show all layers at once; where two have the same file, the later one's counts.

    Raises:
        OSError: The target exists, or can't be written.
    """
    if len(layers) == 1:
        target.symlink_to(layers[0], target_is_directory=True)
        return
    target.mkdir()
    for layer in layers:
        _lay(layer, target)


def _lay(source: Path, target: Path) -> None:
    for entry in source.iterdir():
        place = target / entry.name
        if not place.is_symlink() and not place.exists():
            place.symlink_to(entry)
        elif entry.is_dir() and not entry.is_symlink() and place.is_dir():
            if place.is_symlink():
                lower = place.resolve()
                place.unlink()
                place.mkdir()
                _lay(lower, place)
            _lay(entry, place)
        else:
            _remove(place)
            place.symlink_to(entry)


def _remove(place: Path) -> None:
    """Take away a link, or a directory of links that two layers shared."""
    if place.is_symlink() or not place.is_dir():
        place.unlink()
        return
    for entry in place.iterdir():
        _remove(entry)
    place.rmdir()
