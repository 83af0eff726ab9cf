"""Online experiments: who sees which arm, what was shown, and whether it earns more. No torch."""

from mmq.ab._analysis import Analysis, ArmResult, analyse
from mmq.ab._assignment import NOBODY, Assignment, assign, assign_all, bucket_ranges
from mmq.ab._experiment import Arm, Experiment, read_experiment, read_experiments
from mmq.ab._log import Event, Exposure, event_table, exposure_table, write_table
from mmq.ab._market import Market, MarketSettings, open_market
from mmq.ab._metrics import METRICS, Difference, Metric, Range
from mmq.ab._plan import PLANNED, Baseline, measured, plan
from mmq.ab._replay import Replay, Value, replay
from mmq.ab._replay_log import REWARDS, Target, replay_log
from mmq.ab._results import as_dict, as_table
from mmq.ab._simulation import Simulated, simulate, target_scores
from mmq.ab._slates import DrawnSlates, draw_slates, slate_propensities
from mmq.ab._users import Windows
from mmq.ab._verdict import decided, trusted, verdict

__all__ = [
    "METRICS",
    "NOBODY",
    "PLANNED",
    "REWARDS",
    "Analysis",
    "Arm",
    "ArmResult",
    "Assignment",
    "Baseline",
    "Difference",
    "DrawnSlates",
    "Event",
    "Experiment",
    "Exposure",
    "Market",
    "MarketSettings",
    "Metric",
    "Range",
    "Replay",
    "Simulated",
    "Target",
    "Value",
    "Windows",
    "analyse",
    "as_dict",
    "as_table",
    "assign",
    "assign_all",
    "bucket_ranges",
    "decided",
    "draw_slates",
    "event_table",
    "exposure_table",
    "measured",
    "open_market",
    "plan",
    "read_experiment",
    "read_experiments",
    "replay",
    "replay_log",
    "simulate",
    "slate_propensities",
    "target_scores",
    "trusted",
    "verdict",
    "write_table",
]
