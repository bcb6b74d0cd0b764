"""One line that says what was wrong, what was found, what is allowed and what to do."""

import errno
from pathlib import Path

import pytest

from noria.core import errors
from noria.core.messages import message


def test_message_carries_all_four_parts_on_one_line():
    error = errors.SettingError("minutes is out of range", found=-1, allowed="0.1 to 600", hint="give\nmore time")
    assert str(error) == "minutes is out of range: found -1; allowed 0.1 to 600; give more time"


def test_row_error_names_file_line_and_field():
    error = errors.RowError(
        "label is unknown", file="数据.jsonl", line=7, field="label", found="好评", allowed=["a", "b"]
    )
    assert str(error) == "数据.jsonl, line 7, field 'label': label is unknown: found '好评'; allowed a, b"
    assert (error.file, error.line, error.field) == ("数据.jsonl", 7, "label")


def test_long_values_are_shortened():
    assert len(errors.shorten("字" * 500)) == 80
    assert errors.shorten("a\n  b") == r"'a\n b'"


@pytest.mark.parametrize(("name", "close"), [("minuts", "minutes"), ("MINUTES", None), ("sed", "seed"), ("zzz", None)])
def test_nearest(name, close):
    assert errors.nearest(name, ["minutes", "seed", "out"]) == close


def test_unknown_names_the_nearest():
    assert "did you mean corpus?" in str(errors.unknown("stage", "corpse", ["corpus", "ship"]))


def test_system_faults_become_plain_and_others_pass():
    with pytest.raises(errors.ResourceError, match="the disk is full"), errors.plain_errors():
        raise OSError(errno.ENOSPC, "No space left on device", "/x/y")
    with pytest.raises(ConnectionResetError), errors.plain_errors():
        raise ConnectionResetError(errno.ECONNRESET, "reset")


def test_memory_that_ran_out_is_one_plain_line_wherever_it_did():
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    for error in (caught.value, MemoryError(), OSError(errno.ENOMEM, "")):
        plain = errors.from_system(error)
        assert plain is not None
        assert str(plain).startswith("out of memory")
        assert plain.exit_code == 2
    assert errors.from_system(RuntimeError("shapes differ")) is None


def test_exit_codes_follow_the_tree():
    def tree(cls):
        return [cls, *(leaf for child in cls.__subclasses__() for leaf in tree(child))]

    for cls in tree(errors.UserError):
        assert cls.exit_code == 2, cls
    assert errors.Interrupted.exit_code == 130
    assert errors.InternalError.exit_code == 1
    drawn = {cls.__name__ for cls in tree(errors.NoriaError) if cls.__module__ == errors.__name__}
    assert all(name in errors.__doc__ for name in drawn), "the tree at the top of the module shows every error"


def test_an_error_reads_in_the_terminal_s_language() -> None:
    error = errors.RowError(
        message("errors.not_allowed", key="label"), file="r.csv", line=3, field="label", found="x", allowed="a, b"
    )
    assert str(error) == "r.csv, line 3, field 'label': label is not allowed: found 'x'; allowed a, b"
    assert error.text("zh") == "r.csv 第 3 行，字段 'label'：label 的值不可用：发现 'x'；允许 a, b"


def test_a_command_tells_its_error_in_chinese(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from noria.cli.main import main

    monkeypatch.setenv("NORIA_LANG", "zh")
    assert main(["build", "clean", "/there/is/none.csv", "--out", "/there/is/none"]) == 2
    assert "没有此文件或文件夹：发现 '/there/is/none.csv'" in capsys.readouterr().err
    assert main(["build", "clean", "/there/is/none.csv", "--outt", "/there/is/none"]) == 2
    assert "未知的选项 --outt" in capsys.readouterr().err
    assert main(["build", "finetune", "classify"]) == 2
    assert "缺少参数" in capsys.readouterr().err


def test_what_was_found_and_the_column_of_a_table_are_told_in_chinese(tmp_path: Path) -> None:
    from noria.tasks.task import read_rows, task_for

    (tmp_path / "rows.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(errors.RowError) as refused:
        read_rows(tmp_path / "rows.csv", task_for("classify"))
    assert refused.value.text("zh").endswith(
        "rows.csv 第 2 行，列 'text'：没有此列：发现 'a, b'；请指明是哪一列：--text-column NAME；首行须为列名，例如这两行：text,label 和 我要退货,退货"
    )
    error = errors.InputError(message("text.holds_rows", name="a.json"), found=message("text.object", whole="x"))
    assert str(error) == "a.json holds no rows: found 'an object with x'"
    assert error.text("zh") == "a.json 中没有行：发现 '含 x 的对象'"
