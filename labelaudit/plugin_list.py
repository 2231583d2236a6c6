"""The plugins that are installed: what other packages add to LabelAudit's registries."""

from __future__ import annotations

from .core.plugins import Plugin


def plugins() -> list[Plugin]:
    """Return the scores, sources, export formats and feature extractors of other packages.

    Those that cannot be used are in the list, too, with the `problem`. A package registers its
    objects in the entry point groups `labelaudit.scores`, `labelaudit.sources`,
    `labelaudit.exports` and `labelaudit.features`; `examples/plugin/` is a complete package.
    """
    from .export.formats import GROUP as EXPORTS
    from .features.extractors import GROUP as FEATURES
    from .scores import SCORES
    from .sources.registry import GROUP as SOURCES

    groups = (SCORES.group, SOURCES, EXPORTS, FEATURES)
    return [plugin for group in groups for plugin in group.plugins()]
