"""Stage 2: codes that learn from what users do (Eq. 15-19)."""

from mmq.finetuning._fit import FinetuneFit, finetune
from mmq.finetuning._settings import FinetuneSettings

__all__ = ["FinetuneFit", "FinetuneSettings", "finetune"]
