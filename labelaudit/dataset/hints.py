"""Names that users of FiftyOne, pandas and cleanlab look for, and what they are called here."""

from __future__ import annotations

from collections.abc import Mapping

_NOTHING = "it is not needed: "
_TAG = 'sample.tag("x"), view.tag("x"), or dataset.tag(ids, "x")'
_UNTAG = 'sample.untag("x"), view.untag("x"), or dataset.untag(ids, "x")'
_SCORES = "labelaudit.compute_scores(dataset, run)"
_MATCH = 'match(F("hardness") > 0.5), or match(label="cat")'
_LABELS = "a sample has one label: view.match(label=...)"
_ADD = 'dataset.add_field("age", "number")'
_LOAD = 'labelaudit.load_dataset("name", "/folder")'

# The end of the sentence "… has no 'x': use …", by name.
HINTS: Mapping[str, str] = {
    # tags
    "match_tags": 'match_tag("x")',
    "tag_samples": _TAG,
    "add_tag": _TAG,
    "add_tags": _TAG,
    "append": _TAG,
    "extend": _TAG,
    "untag_samples": _UNTAG,
    "remove_tag": _UNTAG,
    "remove": _UNTAG,
    "tag_labels": _TAG,
    "untag_labels": _UNTAG,
    "tags": 'count_values("tags"), or values("tags")',
    # choosing
    "filter": _MATCH,
    "query": _MATCH,
    "where": _MATCH,
    "loc": "dataset[id], or match(...)",
    "iloc": "view[10:20]",
    "match_labels": _LABELS,
    "filter_labels": _LABELS,
    "filter_field": _LABELS,
    "select_labels": _LABELS,
    "exclude_labels": _LABELS,
    "select_by": 'match(F("age").isin([1, 2]))',
    "exclude_by": 'match(~F("age").isin([1, 2]))',
    "exists": 'match(F("age").exists())',
    "dropna": 'match(F("age").exists())',
    "sort_values": 'sort_by("hardness", reverse=True)',
    "sort_by_similarity": "labelaudit.find_duplicates(dataset), or the similar images on the page "
    "Review",
    "group_by": 'for name in view.distinct("ground_truth"): view.match(label=name)',
    "groupby": "view.to_pandas().groupby(...)",
    "to_patches": _LABELS,
    "tail": "view[-5:]",
    "one": "view.first()",
    "select_fields": 'view.values("hardness"), or view.to_pandas()',
    "exclude_fields": "view.to_pandas().drop(columns=...)",
    # counting
    "count": 'len(view), or count_values("ground_truth")',
    "value_counts": 'count_values("ground_truth")',
    "unique": 'distinct("ground_truth")',
    "nunique": 'len(view.distinct("ground_truth"))',
    "min": 'bounds("hardness")',
    "max": 'bounds("hardness")',
    "std": 'view.values("hardness"), a numpy array',
    "quantiles": 'view.values("hardness"), a numpy array',
    "histogram_values": 'view.values("hardness"), a numpy array',
    "describe": "dataset.info, or view.to_pandas().describe()",
    "stats": "dataset.info",
    "summary": "dataset.info",
    "shape": "len(view)",
    # fields
    "add_sample_field": _ADD,
    "add_fields": _ADD,
    "get_field_schema": "dataset.fields",
    "schema": "dataset.fields",
    "has_field": '"age" in sample, or "age" in dataset.fields',
    "has_sample_field": '"age" in dataset.fields',
    "field_names": "sample.keys(), or dataset.fields",
    "columns": "dataset.fields, or view.to_pandas().columns",
    "get_field": 'sample["age"]',
    "clear_field": "sample.age = None",
    "set_field": 'dataset.set_values("age", view.ids, values)',
    "delete_sample_field": 'dataset.drop_field("age")',
    "rename_sample_field": "dataset.add_field and set_values, then drop_field",
    "default_classes": "dataset.classes",
    "get_classes": "dataset.classes",
    "to_dict": "dict(sample), or view.to_pandas()",
    "to_df": "view.to_pandas()",
    "to_csv": 'view.to_pandas(), or labelaudit.write_suspects(dataset, "suspects.csv")',
    # samples and datasets
    "add_sample": "dataset.add_samples([{...}])",
    "add_images": 'dataset.add_samples([{"filepath": path, "label": name}])',
    "add_dir": 'dataset.add_samples(...), or labelaudit.plan_sync(dataset, "/folder")',
    "delete_samples": 'dataset.tag(ids, "removed"), which leaves them out of exports; '
    "sample ids are never deleted",
    "remove_samples": 'dataset.tag(ids, "removed"), which leaves them out of exports',
    "drop": 'dataset.tag(ids, "removed"), or dataset.drop_field(name)',
    "clone": "labelaudit.export_dataset, and load_dataset under another name",
    "copy": "labelaudit.export_dataset, and load_dataset under another name",
    "merge_samples": "labelaudit.plan_sync and apply_sync",
    "delete": "labelaudit.delete_dataset(dataset.name)",
    "persistent": _NOTHING + "datasets are always stored",
    "media_type": _NOTHING + "all samples are images",
    "reload": _NOTHING + "changes of other processes are seen at once",
    "ensure_frames": _NOTHING + "all samples are images",
    "create_index": _NOTHING + "fields are searched without an index",
    # saved views, predictions, scores, export
    "load_saved_view": 'dataset.load_view("name")',
    "list_saved_views": "dataset.saved_views",
    "delete_saved_view": 'dataset.delete_view("name")',
    "has_saved_view": '"name" in dataset.saved_views',
    "apply_model": "labelaudit.predict_with(dataset, model)",
    "compute_embeddings": "labelaudit.first_look(dataset), or import_features",
    "compute_metadata": _NOTHING + '"width" and "height" are measured while loading',
    "evaluate_classifications": "view.class_pairs(), or labelaudit.evaluate(dataset)",
    "evaluate_detections": _NOTHING + "LabelAudit reads one label an image, no boxes",
    "compute_hardness": _SCORES,
    "compute_mistakenness": _SCORES,
    "compute_uniqueness": _SCORES,
    "compute_near_duplicates": "labelaudit.find_duplicates(dataset)",
    "compute_exact_duplicates": "labelaudit.find_duplicates(dataset)",
    "export": "labelaudit.export_dataset(dataset, folder, format)",
    "write_json": 'labelaudit.export_dataset(dataset, folder, "fiftyone")',
    "confidence": "sample.prediction.confidence",
    "logits": "sample.prediction.logits",
    "filename": "sample.filepath",
    "show": "view.grid(), a picture, or labelaudit.launch_app(view)",
    "plot": "view.grid(), a picture, or labelaudit.launch_app(view)",
    # the module
    "load_zoo_dataset": 'labelaudit.load_dataset("cifar10")',
    "dataset_exists": '"name" in labelaudit.list_datasets()',
    "open_dataset": 'labelaudit.Dataset("name")',
    "create_dataset": f"{_LOAD}, or load_arrays",
    "delete_datasets": "labelaudit.delete_dataset(name), or drop_all(confirm=True)",
    "read_csv": 'labelaudit.load_dataset("name", "list.csv")',
    "from_dir": _LOAD,
    "from_images_dir": _LOAD,
    "from_images": "labelaudit.load_arrays",
    "from_pandas": "labelaudit.load_arrays, or load_dataset with a CSV",
    "Classification": "the name of a class, such as 'cat'",
    "ViewField": 'labelaudit.F("age")',
    "close_app": "session.close()",
    "Datalab": "labelaudit.audit(dataset), or import_predictions and compute_scores",
    "CleanLearning": "labelaudit.audit(dataset)",
    "find_label_issues": "labelaudit.suspects(dataset)",
    "find_issues": "labelaudit.suspects(dataset)",
    "get_issues": "labelaudit.suspects(dataset)",
    "get_label_issues": "labelaudit.suspects(dataset)",
    "get_label_quality_scores": 'view.values("self_confidence"), 1 minus cleanlab\'s',
    "report": 'labelaudit.write_report(dataset, "report.html")',
    # conditions
    "is_in": 'F("age").isin([1, 2])',
    "is_missing": 'F("age").is_null()',
    "isnull": 'F("age").is_null()',
    "isna": 'F("age").is_null()',
    "notna": 'F("age").exists()',
    "contains_str": 'F("note").contains("text")',
    "startswith": 'F("note").starts_with("text")',
    "endswith": 'F("note").ends_with("text")',
    "label": 'F("ground_truth"), which is the name of the class',
}


def hint(name: str) -> str | None:
    """Return the end of a sentence that says what to use instead of a name; None if unknown."""
    use = HINTS.get(name)
    if use is None or use.startswith(_NOTHING):
        return use
    return f"use {use}"


def missing(owner: object, name: str) -> AttributeError:
    """Return the error of an attribute that an object does not have."""
    kind = type(owner).__name__
    text = f"{kind!r} object has no attribute {name!r}"
    use = None if name.startswith("_") else hint(name)
    return AttributeError(f"{text}: {use}." if use else text, name=name, obj=owner)
