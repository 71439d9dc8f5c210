"""What `mkdocs build` does besides: notebooks and figures of studies become files of the site."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

FIGURES = "purejaxrl_suite/studies/results"


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
    """Show figures of studies from where the site has them."""
    return markdown.replace(f"](../{FIGURES}/", "](studies/")
