"""Training: recipes, targets, sampling, the multi-task loss, the trainer (paper, section 2.3)."""

from fastrcnn.training.batches import Sample
from fastrcnn.training.hard_examples import hardest_rois
from fastrcnn.training.loss import Loss, RoILosses, multi_task_loss, roi_losses, smooth_l1
from fastrcnn.training.plots import plot_losses, read_metrics
from fastrcnn.training.recipe import Recipe, with_settings
from fastrcnn.training.recipes import (
    CLASSIFICATION_ONLY,
    FIVE_SCALES,
    LAPTOP,
    LAPTOP_CONV5,
    MULTI_TASK_WITHOUT_BOXES,
    PAPER,
    PAPER_M,
    PAPER_S,
    RECIPES,
    SHAPES,
    STAGE_WISE,
    VOC,
    WALKTHROUGH,
)
from fastrcnn.training.records import (
    CheckpointSaved,
    EpochEnd,
    Finished,
    Outcome,
    Progress,
    Record,
    Step,
    Validation,
)
from fastrcnn.training.sampling import sample_rois
from fastrcnn.training.targets import Targets, label_proposals, target_statistics
from fastrcnn.training.trainer import Trainer, build_model

__all__ = [
    "CLASSIFICATION_ONLY",
    "FIVE_SCALES",
    "LAPTOP",
    "LAPTOP_CONV5",
    "MULTI_TASK_WITHOUT_BOXES",
    "PAPER",
    "PAPER_M",
    "PAPER_S",
    "RECIPES",
    "SHAPES",
    "STAGE_WISE",
    "VOC",
    "WALKTHROUGH",
    "CheckpointSaved",
    "EpochEnd",
    "Finished",
    "Loss",
    "Outcome",
    "Progress",
    "Recipe",
    "Record",
    "RoILosses",
    "Sample",
    "Step",
    "Targets",
    "Trainer",
    "Validation",
    "build_model",
    "hardest_rois",
    "label_proposals",
    "multi_task_loss",
    "plot_losses",
    "read_metrics",
    "roi_losses",
    "sample_rois",
    "smooth_l1",
    "target_statistics",
    "with_settings",
]
