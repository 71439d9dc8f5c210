"""What `mkdocs build` does besides: the notebooks, beside docs/, become files of the site."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add them as notebooks/NAME.ipynb, so that pages can link to them."""
    for path in sorted(Path(config.config_file_path).parent.glob("notebooks/*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.name}", abs_src_path=str(path)))
    return files
