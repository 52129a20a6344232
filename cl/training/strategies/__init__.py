"""How a model learns a new experience without forgetting the old ones: one file a strategy."""

from cl.training.strategies._base import Lesson, State, Step, Strategy, Update, load_states, save_states

__all__ = ["Lesson", "State", "Step", "Strategy", "Update", "load_states", "save_states"]
