"""Online experiments: who sees which arm, what was shown, and whether it earns more. No torch."""

from mmq.ab._assignment import NOBODY, Assignment, assign, assign_all, bucket_ranges
from mmq.ab._experiment import Arm, Experiment, read_experiment, read_experiments
from mmq.ab._log import Event, Exposure, event_table, exposure_table, write_table
from mmq.ab._slates import DrawnSlates, draw_slates, slate_propensities

__all__ = [
    "NOBODY",
    "Arm",
    "Assignment",
    "DrawnSlates",
    "Event",
    "Experiment",
    "Exposure",
    "assign",
    "assign_all",
    "bucket_ranges",
    "draw_slates",
    "event_table",
    "exposure_table",
    "read_experiment",
    "read_experiments",
    "slate_propensities",
    "write_table",
]
