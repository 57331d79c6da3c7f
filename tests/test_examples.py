import runpy
from pathlib import Path


def test_the_example_of_the_python_interface_runs(tmp_path, capsys):
    example = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "train_and_look.py"))
    example["main"](tmp_path / "run", num_epochs=1)
    printed = capsys.readouterr().out
    assert "nats, test split, grey pixels" in printed
    assert (tmp_path / "run" / "report.html").exists()
