"""What each action type is: its kind, its parameters, the events it answers with. Data only; one row a type."""

from __future__ import annotations

from smd.catalogue.limits import LIMITS, amount
from smd.catalogue.rows import ACTIONS, COMMON, CUSTOM, LOG_LEVELS
from smd.catalogue.types import ActionType, Kind, Parameter, Value

__all__ = ["ACTIONS", "COMMON", "CUSTOM", "LIMITS", "LOG_LEVELS", "ActionType", "Kind", "Parameter", "Value", "amount"]
