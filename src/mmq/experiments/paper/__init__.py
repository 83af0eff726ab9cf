"""The paper's tables and figures, cell by cell."""

from __future__ import annotations

from mmq.experiments.paper.plan import ARTEFACTS, PARTS
from mmq.experiments.paper.prepare import Prepared, Request, prepare
from mmq.experiments.paper.reproduce import report_on, reproduce
from mmq.experiments.paper.scales import SCALES, Scale, scale_of
from mmq.experiments.paper.schedule import Progress

__all__ = [
    "ARTEFACTS",
    "PARTS",
    "SCALES",
    "Prepared",
    "Progress",
    "Request",
    "Scale",
    "prepare",
    "report_on",
    "reproduce",
    "scale_of",
]
