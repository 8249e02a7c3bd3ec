"""What do the stages of one run share?"""

from dataclasses import dataclass

from consumers.core.budget import InFlightBudget
from consumers.core.conditions import Conditions
from consumers.core.spending import DailyBudget
from schemas.events import Observer


@dataclass(frozen=True, slots=True)
class Shared:
    """The state that belongs to no single stage, made once by the pipeline."""

    budget: InFlightBudget
    conditions: Conditions
    observe: Observer
    spending: DailyBudget
