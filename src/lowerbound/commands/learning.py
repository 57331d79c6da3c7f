"""The command learn, of the panel "Explore, serve, export"."""

from pathlib import Path
from typing import Annotated

import typer

from lowerbound.commands import console
from lowerbound.commands.options import SHARE, DataDirOption, DeviceOption, OwnDataOption, app
from lowerbound.commands.progress import ProgressDisplay, StageDisplay, stopping_politely

OPENING = 5.0  # seconds for a browser to take over the address


@app.command(rich_help_panel=SHARE, epilog="Example: lowerbound learn runs/first --example 7")
def learn(
    run_path: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="A run directory; default: a small run on the digits, trained first."),
    ] = None,
    example: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Number of the test example; default: a typical one.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The page; default: learn.html in the run.")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Write the page without opening a browser.")] = False,
    device: DeviceOption = "auto",
    data: OwnDataOption = "",
    data_dir: DataDirOption = "",
) -> None:
    """Write three lessons on variational autoencoders, with the numbers and pictures of a run, and open them."""
    from lowerbound.inference import learning
    from lowerbound.runs.run import Callbacks

    if run_path is None:
        with stopping_politely() as should_stop, ProgressDisplay(quiet=False) as display:
            run_path = learning.lesson_run(callbacks=Callbacks(display.show, display.message, should_stop)).path
    with StageDisplay() as stages:
        callbacks = Callbacks(stage=stages.show)
        page = learning.learn(
            run_path, out, example=example, device=device, data=data, data_dir=data_dir, callbacks=callbacks
        )
    console.print_written(page)
    if no_browser:
        return
    from lowerbound.serving.http.browsers import find_browser, open_page

    if (browser := find_browser()) is not None:
        open_page(browser, page.resolve().as_uri()).join(OPENING)
