"""Studies on the command line."""

import signal

import pytest
import rich

from purejaxrl_suite import cli, studies
from purejaxrl_suite.cli import study
from purejaxrl_suite.studies import study_result
from purejaxrl_suite.sweeps.interrupt import Interrupted
from tests.studies.tiny import STUDY


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rich.reconfigure(width=400)  # whoever printed first has set it for all
    monkeypatch.setattr(study, "studies", lambda: {"tiny": STUDY, "empty": STUDY})
    monkeypatch.setattr(study_result, "SHIPPED", tmp_path / "nothing")
    yield lambda text: cli.main(text.split())
    rich.reconfigure()


def test_a_study_is_run_listed_and_shown(command, tmp_path, capsys, monkeypatch):
    assert command("study run tiny --preset standard --results shipped") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "CONFIRMED" in said and "REFUTED" in said and "shipped/tiny/standard.json" in said
    assert "NOT TESTED: perfect" in said and "perfect: It is perfect." in said
    (written,) = (tmp_path / "shipped").iterdir()
    files = {"standard.json", "standard.png", "standard-narrow.png"}
    assert {path.name for path in written.iterdir()} == files
    trained = tmp_path / "runs" / "studies" / "tiny" / "standard"
    assert (trained / "frozen" / "sweep.json").exists() and (trained / "standard.png").exists()

    assert command("study run tiny --preset standard") == 0
    assert "is finished" in capsys.readouterr().err
    assert command("study list") == 0
    said = " ".join(capsys.readouterr().out.split())
    size = "8 seeds x 960 steps"
    assert f"standard: 1 CONFIRMED, 1 REFUTED, 1 NOT TESTED {size}" in said and "not run" in said
    (written / "standard-narrow.png").unlink()
    assert command("study draw tiny --runs shipped") == 0
    assert {path.name for path in written.iterdir()} == files
    monkeypatch.setattr(study, "STUDIES", ("tiny",))
    assert command("study claims --out all/claims.png") == 0
    assert len(list((tmp_path / "all").iterdir())) == 2
    capsys.readouterr()
    assert command("study show tiny") == 0
    said = " ".join(capsys.readouterr().out.split())
    for expected in (
        "Does learning help?",
        "Learning hurts.",
        size,
        "needs a miracle",
        "CONFIRMED",
    ):
        assert expected in said
    assert "more than 0, at least by 0.05" in said and "INCONCL" not in said

    assert command("report runs/studies/tiny/standard") == 0
    page = (trained / "report.html").read_text()
    assert "Learning hurts." in page and "REFUTED</span>" in page and "<h3>frozen</h3>" in page
    assert "needs a miracle" in page
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(study_result, "SHIPPED", tmp_path / "shipped")
    assert command("gallery --out gallery.html") == 0
    assert "gallery.html: 1 studies" in capsys.readouterr().out
    assert command("study list") == 0
    assert "1 NOT TESTED" in capsys.readouterr().out


def test_a_study_that_is_stopped_says_how_it_goes_on(command, capsys, monkeypatch):
    def stop(*_, **__):
        raise Interrupted("stopped at update 1 of 2", signal.SIGTERM)

    monkeypatch.setattr(studies, "run_study", stop)
    assert cli.main(["study", "run", "tiny", "--runs", "my runs"]) == 143
    again = "`purejaxrl-suite study run tiny --preset quick --runs 'my runs'` goes on"
    assert f"everything is saved, {again}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study run tini", "there is no study 'tini'; did you mean tiny?"),
        ("study show qqq", "there is no study 'qqq'; known: tiny, empty"),
        ("study draw qqq", "runs: expected results of qqq in runs/studies"),
        ("study draw", "runs: expected results of studies in runs/studies"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(command, text, message, tmp_path, capsys):
    assert command(text) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("purejaxrl-suite: ") and message in last
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["study run tiny --preset huge", "study jump", "study run"])
def test_what_the_parser_refuses_has_exit_code_2(command, text, tmp_path, capsys):
    assert command(text) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("purejaxrl-suite: ") and ": expected " in line
    assert not list(tmp_path.iterdir())
