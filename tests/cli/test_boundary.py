"""The one error boundary: a clear line, the right exit code, no traceback unless asked for."""

import signal
import socket
import subprocess
import sys

import pytest

from noria.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["demmo"], "Did you mean"),
        (["demo", "--quik"], "Did you mean"),
        (["demo", "--redo", "shipp", "--no-serve"], "did you mean ship?"),
        (["demo", "--port", "99999"], "--port is not allowed: found '99999'"),
        (["demo", "--sentiment-minutes", "-1"], "--sentiment-minutes is not allowed"),
        (["demo", "--sentiment-minutes", "五"], "--sentiment-minutes is not allowed"),
        (["build", "cleen"], "cleen"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, says, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("\n") == 1, captured.err
    assert captured.out == ""


def test_help_and_version_exit_with_0(capsys):
    assert main(["--version"]) == 0
    assert main(["--help"]) == 0
    assert "noria demo" in capsys.readouterr().out


def test_our_fault_is_exit_code_1_and_debug_shows_the_traceback(monkeypatch, capsys, tmp_path):
    import noria.cli.demo.runner as runner

    def broken(*_args, **_kwargs):
        raise KeyError("内部")

    monkeypatch.setattr(runner, "turn", broken)
    assert main(["demo", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["demo", "--out", str(tmp_path), "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_the_exit_code_that_a_shell_has_for_it(number, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "noria", "demo", "--quick", "--no-serve", "--out", str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background ignore SIGINT, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    first = process.stderr.readline()
    assert "corpus" in first
    process.send_signal(number)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 128 + number
    assert rest.splitlines()[-1] == "noria: interrupted: the same command goes on from here"
    assert not list((tmp_path / "run").glob(".*.part")), "nothing half-written is left"


def test_a_second_run_in_the_same_folder_is_told(tmp_path, capsys):
    from noria.api.stages import held

    with held(tmp_path):
        assert main(["demo", "--no-serve", "--out", str(tmp_path)]) == 2
    assert "another run uses this folder" in capsys.readouterr().err


def test_a_port_in_use_is_told_before_the_work_begins(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["demo", "--out", str(tmp_path / "run"), "--port", str(port)]) == 2
    captured = capsys.readouterr()
    assert captured.err == (
        f"noria: the port is in use: found '127.0.0.1:{port}'; stop what listens there, or choose another --port\n"
    )
    assert not (tmp_path / "run").exists()
