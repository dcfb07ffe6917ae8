"""The learning rate of each epoch of a fashion run (F-21)."""

from trainer.fashion.config import FashionTraining
from trainer.loop.schedules import cosine_rate, exponential_rate, step_rate


def rate_of(settings: FashionTraining, epoch: int) -> float:
    """The rate of an epoch, counted from 1, by `settings.schedule`; nothing else decides it."""
    highest = settings.learning_rate
    match settings.schedule:
        case "constant":
            return highest
        case "cosine":
            return cosine_rate(epoch, highest=highest, lowest=0.0, period=settings.max_epochs)
        case "step":
            return step_rate(epoch, highest=highest, every=settings.step_epochs, factor=settings.step_factor)
        case "exponential":
            return exponential_rate(epoch, highest=highest, factor=settings.exponential_factor)
