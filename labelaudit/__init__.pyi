"""Public names for type checkers. Generated from labelaudit/__init__.py by `make docs`."""

from .annotators.consensus import consensus as consensus
from .annotators.importing import import_annotations as import_annotations
from .app_session import launch_app as launch_app
from .core.errors import LabelAuditError as LabelAuditError
from .core.progress import Task as Task
from .dataset.dataset import Dataset as Dataset
from .dataset.dataset import delete_dataset as delete_dataset
from .dataset.dataset import drop_all as drop_all
from .dataset.dataset import list_datasets as list_datasets
from .dataset.expression import F as F
from .dataset.history import list_changes as list_changes
from .dataset.history import return_to as return_to
from .dataset.noise import inject as _inject_noise
from .dataset.noise import restore as _restore_noise
from .dataset.sample import Sample as Sample
from .dataset.view import View as View
from .export import export_dataset as export_dataset
from .export import write_labels as write_labels
from .export import write_suspects as write_suspects
from .features.duplicates import find_duplicates as find_duplicates
from .learn.config import TrainConfig as TrainConfig
from .learn.first_look import first_look as first_look
from .learn.predict import predict as predict
from .learn.recorder import Recorder as Recorder
from .learn.saved_models import load_model as load_model
from .learn.torch_images import TorchImageDataset as TorchImageDataset
from .learn.train import resume as _resume_training
from .learn.train import train as train
from .living import accept as accept
from .living import added_since as added_since
from .living import apply_sync as apply_sync
from .living import check_labels as check_labels
from .living import plan_sync as plan_sync
from .living import read_accepted as read_accepted
from .living.trend import trend as trend
from .living.verify import verify as verify
from .living.write_back import plan_write_back as plan_write_back
from .living.write_back import write_back as write_back
from .patch import apply_patch as apply_patch
from .patch import merge_patches as merge_patches
from .patch import plan_patch as plan_patch
from .patch import read_patch as read_patch
from .patch import write_patch as write_patch
from .pipeline import audit as audit
from .pipeline import resume_audit as resume_audit
from .plugin_list import plugins as plugins
from .predictions import import_features as import_features
from .predictions import import_predictions as import_predictions
from .predictions.cleanlab_issues import import_issues as import_issues
from .predictions.predict_with import predict_with as predict_with
from .ranking.audit_result import AuditResult as AuditResult
from .ranking.evaluation import evaluate as evaluate
from .ranking.ranking import suspects as suspects
from .ranking.scoring import compute_scores as compute_scores
from .report import write_report as write_report
from .review.apply import apply_verdicts as apply_verdicts
from .review.apply import pending_decisions as pending_decisions
from .review.classes import change_classes as change_classes
from .review.classes import plan_classes as plan_classes
from .review.estimate import estimate_wrong as estimate_wrong
from .review.queue import QueueFilter as QueueFilter
from .review.queue import make_queue as make_queue
from .review.shares import assign as assign
from .review.verdicts import Review as Review
from .sources import load_arrays as load_arrays
from .sources import load_dataset as load_dataset
from .sources import load_huggingface as load_huggingface
from .sources import preview_dataset as preview_dataset

__version__: str
inject_noise = _inject_noise
restore_noise = _restore_noise
resume_training = _resume_training
