"""What `mkdocs build` does besides: notebooks and figures of studies become files of the site."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

FIGURES = "purejaxrl_suite/studies/results"
WIDE = "index.md", "studies.md"
LINK_TO_SOURCE = re.compile(r"\[`([^`]+)`\]\(\.\./\.\./purejaxrl_suite/[^)]+\)")
"""A link to a source file, which is not on the site."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add them as notebooks/NAME.ipynb and studies/NAME/PRESET.png, for pages to link to."""
    root = Path(config.config_file_path).parent
    for path in sorted(root.glob("notebooks/*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.name}", abs_src_path=str(path)))
    for path in sorted(root.glob(f"{FIGURES}/*/*.png")):
        place = f"studies/{path.parent.name}/{path.name}"
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show figures from where the site has them: what is HTML, mkdocs does not rewrite.

    Pages with wide tables and figures get the room of the table of contents, too.
    """
    place = Path(page.file.src_uri)
    if str(place) in WIDE or place.parent.name == "studies":
        page.meta["hide"] = ["toc"]
    markdown = markdown.replace(f"](../{FIGURES}/", "](studies/")
    images = get_relative_url("images/", page.url)
    for tag in ("src", "srcset", "href"):
        markdown = markdown.replace(f'{tag}="../../{FIGURES}/{place.stem}/', f'{tag}="')
        markdown = markdown.replace(f'{tag}="images/', f'{tag}="{images}')
    return LINK_TO_SOURCE.sub(r"`\1`", markdown)
