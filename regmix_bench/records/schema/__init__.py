"""The schema of records: the history of a training, the scores of a model, and what binds them.

It admits what the rest of the package can hold, and no more: numbers are bounded, lengths agree,
and what is one of several is there once.

Nothing here imports torch, so that listing and reporting start at once.
"""

from regmix_bench.records.schema.history import (
    Alarm,
    EpochLog,
    MatrixProduct,
    PerturbationLength,
    Work,
)
from regmix_bench.records.schema.quantities import MOST_CLASSES, Epoch, Images, Share
from regmix_bench.records.schema.records import (
    AnyRecord,
    CheckpointFile,
    CorruptionRecord,
    Cost,
    EvalRecord,
    LabelUse,
    RunRecord,
    TransferRecord,
    TransferSide,
)
from regmix_bench.records.schema.scores import (
    CHECKS,
    Check,
    Diagnosis,
    Question,
    RobustEval,
    Score,
    ScoredCopy,
    UnionScore,
    parts_of,
)
from regmix_bench.records.schema.study import Budget, StudyRecord, TrialLog, TrialState
from regmix_bench.records.schema.tuned import Equal, TrialObjective, Tuned

__all__ = [
    "CHECKS",
    "MOST_CLASSES",
    "Alarm",
    "AnyRecord",
    "Budget",
    "Check",
    "CheckpointFile",
    "CorruptionRecord",
    "Cost",
    "Diagnosis",
    "Epoch",
    "EpochLog",
    "Equal",
    "EvalRecord",
    "Images",
    "LabelUse",
    "MatrixProduct",
    "PerturbationLength",
    "Question",
    "RobustEval",
    "RunRecord",
    "Score",
    "ScoredCopy",
    "Share",
    "StudyRecord",
    "TransferRecord",
    "TransferSide",
    "TrialLog",
    "TrialObjective",
    "TrialState",
    "Tuned",
    "UnionScore",
    "Work",
    "parts_of",
]
