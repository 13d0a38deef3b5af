"""Memory: what the engine keeps in its state directory. ``Store`` is the way in."""

from .events import EventQueue
from .facade import Store
from .functions import Functions
from .imports import Imports, LearnedImports
from .ledger import FunctionStats, Ledger
from .logs import LogLine, Logs
from .packages import Package, Packages

__all__ = [
    "EventQueue",
    "FunctionStats",
    "Functions",
    "Imports",
    "LearnedImports",
    "Ledger",
    "LogLine",
    "Logs",
    "Package",
    "Packages",
    "Store",
]
