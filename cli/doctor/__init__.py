"""`atelier doctor`: what of this machine and its data is ready, and what to do about the rest."""

from cli.doctor.command import doctor

__all__ = ["doctor"]
