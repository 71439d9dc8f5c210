"""Run the groups of a sweep on a cluster, each as a Ray task.

The folder of a cluster sweep has one sweep per group (`group-000/` ...), which its task starts or
resumes; so a group whose worker is lost is retried from its last checkpoint. Needs the extra
`cluster` and a folder that all workers share.
"""

from pathlib import Path
from typing import Any

from purejaxrl_suite.sweeps import curves
from purejaxrl_suite.sweeps.execute import execute
from purejaxrl_suite.sweeps.layout import Layout
from purejaxrl_suite.sweeps.result import Result
from purejaxrl_suite.sweeps.settings import Settings
from purejaxrl_suite.sweeps.store import claimed


def train_group(laid: Layout, settings: Settings, folder: Path, number: int) -> None:
    """Train one group of a layout in its own folder, from its last checkpoint if any."""
    execute(laid.only(number), settings, group_folder(folder, number))


def group_folder(folder: Path, number: int) -> Path:
    """Return the folder of a group of a cluster sweep."""
    return folder / f"group-{number:03}"


def execute_on_ray(
    laid: Layout, settings: Settings, folder: Path | None, *, gpus: float = 1, retries: int = 3
) -> Result:
    """Train all groups as Ray tasks with `gpus` each; a lost worker's group is retried.

    Ray must be installed (the extra `cluster`); connects to the cluster that `ray.init` finds, or
    starts one on this machine. Finished groups are not trained again.
    """
    if folder is None:
        raise ValueError("ray_gpus: workers share a sweep through its folder: pass out")
    import ray  # pyright: ignore[reportMissingImports]  # an extra

    if not ray.is_initialized():
        ray.init()
    task = ray.remote(num_gpus=gpus, max_retries=retries, retry_exceptions=False)(train_group)
    with claimed(folder):  # the whole; each task claims the folder of its group
        numbers = range(len(laid.groups))
        ray.get([task.remote(laid, settings, folder.resolve(), number) for number in numbers])
        return _joined(laid, settings, folder)


def _joined(laid: Layout, settings: Settings, folder: Path) -> Result:
    """Join the results of all groups, from their folders."""
    parts: list[Any] = []
    for number in range(len(laid.groups)):
        path = group_folder(folder, number)
        parts.append(execute(laid.only(number), settings, path, resuming=True))
    found = curves.join(laid, [part.curves for part in parts]).assign_attrs(parts[0].curves.attrs)
    sizes = tuple(part.sizes[0] for part in parts)
    curves.write(folder / "curves.zarr", found)
    return Result(found, laid, sizes, tuple(part.chunks[0] for part in parts))
