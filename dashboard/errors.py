"""Errors of reading what runs show of themselves."""


class DashboardError(Exception):
    """A run cannot be shown."""


class RunNotFound(DashboardError):
    """There is no run, or no such picture of it, below the folder of runs."""


class UnreadableDashboard(DashboardError):
    """A run's document is damaged, too large, or of another schema version."""


class InvalidRunRequest(DashboardError):
    """A run id, a page token or a number is not usable; the message names it."""
