"""LabelAudit finds wrong labels in image-classification datasets.

import labelaudit
dataset = labelaudit.load_dataset("digits")
print(labelaudit.audit(dataset, noise=0.2))
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

__all__ = [
    "AuditResult",
    "Dataset",
    "F",
    "LabelAuditError",
    "QueueFilter",
    "Recorder",
    "Review",
    "Sample",
    "Task",
    "TorchImageDataset",
    "TrainConfig",
    "View",
    "accept",
    "added_since",
    "apply_patch",
    "apply_sync",
    "apply_verdicts",
    "assign",
    "audit",
    "change_classes",
    "check_labels",
    "compute_scores",
    "consensus",
    "delete_dataset",
    "drop_all",
    "estimate_wrong",
    "evaluate",
    "export_dataset",
    "find_duplicates",
    "first_look",
    "import_annotations",
    "import_features",
    "import_issues",
    "import_predictions",
    "inject_noise",
    "launch_app",
    "list_changes",
    "list_datasets",
    "load_arrays",
    "load_dataset",
    "load_huggingface",
    "load_model",
    "make_queue",
    "merge_patches",
    "pending_decisions",
    "plan_classes",
    "plan_patch",
    "plan_sync",
    "plan_write_back",
    "plugins",
    "predict",
    "predict_with",
    "preview_dataset",
    "read_accepted",
    "read_patch",
    "restore_noise",
    "resume_audit",
    "resume_training",
    "return_to",
    "suspects",
    "train",
    "trend",
    "verify",
    "write_back",
    "write_labels",
    "write_patch",
    "write_report",
    "write_suspects",
]

# The module of each public name, as "module" or "module:name in it". Names are imported on first
# use, so that `import labelaudit` takes milliseconds and torch is loaded only for training.
_MODULES = {
    "AuditResult": "ranking.audit_result",
    "Dataset": "dataset.dataset",
    "F": "dataset.expression",
    "LabelAuditError": "core.errors",
    "QueueFilter": "review.queue",
    "Recorder": "learn.recorder",
    "Review": "review.verdicts",
    "Sample": "dataset.sample",
    "Task": "core.progress",
    "TorchImageDataset": "learn.torch_images",
    "TrainConfig": "learn.config",
    "View": "dataset.view",
    "accept": "living",
    "added_since": "living",
    "apply_patch": "patch",
    "apply_sync": "living",
    "apply_verdicts": "review.apply",
    "assign": "review.shares",
    "audit": "pipeline",
    "change_classes": "review.classes",
    "check_labels": "living",
    "compute_scores": "ranking.scoring",
    "consensus": "annotators.consensus",
    "delete_dataset": "dataset.dataset",
    "drop_all": "dataset.dataset",
    "estimate_wrong": "review.estimate",
    "evaluate": "ranking.evaluation",
    "export_dataset": "export",
    "find_duplicates": "features.duplicates",
    "first_look": "learn.first_look",
    "import_annotations": "annotators.importing",
    "import_features": "predictions",
    "import_issues": "predictions.cleanlab_issues",
    "import_predictions": "predictions",
    "inject_noise": "dataset.noise:inject",
    "launch_app": "app_session",
    "list_changes": "dataset.history",
    "list_datasets": "dataset.dataset",
    "load_arrays": "sources",
    "load_dataset": "sources",
    "load_huggingface": "sources",
    "load_model": "learn.saved_models",
    "make_queue": "review.queue",
    "merge_patches": "patch",
    "pending_decisions": "review.apply",
    "plan_classes": "review.classes",
    "plan_patch": "patch",
    "plan_sync": "living",
    "plan_write_back": "living.write_back",
    "plugins": "plugin_list",
    "predict": "learn.predict",
    "predict_with": "predictions.predict_with",
    "preview_dataset": "sources",
    "read_accepted": "living",
    "read_patch": "patch",
    "restore_noise": "dataset.noise:restore",
    "resume_audit": "pipeline:resume_audit",
    "resume_training": "learn.train:resume",
    "return_to": "dataset.history",
    "suspects": "ranking.ranking",
    "train": "learn.train",
    "trend": "living.trend",
    "verify": "living.verify",
    "write_back": "living.write_back",
    "write_labels": "export",
    "write_patch": "patch",
    "write_report": "report",
    "write_suspects": "export",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str):
    if name not in _MODULES:
        use = None
        if not name.startswith("_"):
            use = import_module(".dataset.hints", __name__).hint(name)
        text = f"module 'labelaudit' has no attribute {name!r}"
        raise AttributeError(f"{text}: {use}." if use else text, name=name)
    module, _, attribute = _MODULES[name].partition(":")
    value = getattr(import_module(f".{module}", __name__), attribute or name)
    globals()[name] = value
    return value
