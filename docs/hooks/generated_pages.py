"""Add the generated pages to the site. MkDocs calls `on_config` and `on_files`; no generated page is committed."""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import commands
import dags
import domains
import tables
import variables
import views_of_features


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the page of each table below the entry "Tables" of the navigation."""
    reference: list[dict[str, Any]] = next(entry["Reference"] for entry in config.nav or [] if "Reference" in entry)
    entry = next(entry for entry in reference if "Tables" in entry)
    entry["Tables"] = [entry["Tables"], *tables.navigation()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that come from the command line, the settings, the DAGs, the domains and the contracts."""
    pages = {
        "reference/commands.md": commands.page(),
        "reference/settings.md": variables.page(),
        "reference/dags.md": dags.page(),
        "reference/domains.md": domains.page(),
        "reference/feature-views.md": views_of_features.page(),
        **tables.pages(),
    }
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files
