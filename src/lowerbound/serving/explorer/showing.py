"""explore: a run's explorer inside a notebook, as a page that needs no server; elsewhere in the browser."""

import sys
from dataclasses import dataclass
from html import escape

from lowerbound.foundation.run_identity import RunPath, path_of
from lowerbound.serving.explorer.hosted import host_explorer
from lowerbound.serving.explorer.offline import offline_page

HEIGHT = 800  # CSS pixels
SANDBOX = "allow-scripts allow-downloads"
"""What the page inside a notebook may do: it has no access to the notebook around it."""


@dataclass(frozen=True)
class InlineExplorer:
    """The explorer as an output of a notebook's cell."""

    page: str  # HTML that loads nothing
    title: str
    height: int = HEIGHT

    def __repr__(self) -> str:
        return f"InlineExplorer({self.title!r}, {len(self.page) / 1e6:.1f} MB)"

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.page)}" title="{escape(self.title)}" sandbox="{SANDBOX}" '
            f'style="width: 100%; height: {self.height}px; border: 0"></iframe>'
        )


def explore(
    run: RunPath,
    *,
    inline: bool | None = None,
    height: int = HEIGHT,
    data: str = "",
    data_dir: str = "",
    device: str = "auto",
) -> InlineExplorer | None:
    """Explore the latent space of a run.

    In a notebook, or if `inline` is true, returns the explorer as a page of `height` CSS pixels that the notebook
    shows and keeps; it needs neither server nor network, and half a minute to be made. Elsewhere serves the explorer
    and opens it in the browser, until Ctrl-C. `data` is the new path of data that were moved. Raises UsageError for
    another path than that of a run and, inside a notebook, without the packages for ONNX export.
    """
    if is_in_notebook() if inline is None else inline:
        path = path_of(run)
        return InlineExplorer(offline_page(path, data_dir, device, data), f"Explorer of {path.name}", height)
    host_explorer(run, data=data, data_dir=data_dir, device=device)
    return None


def is_in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which shows HTML, and not a terminal or a script."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None
