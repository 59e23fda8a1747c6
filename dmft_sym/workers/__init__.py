"""Work that is shared out: one function, many items, in this process, in local ones or on a Dask cluster."""

from .crew import Crew, asked_crew, check_crew

__all__ = ["Crew", "asked_crew", "check_crew"]
