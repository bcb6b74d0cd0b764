"""A folder is there whole or not at all, and damage is noticed."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from noria.core.errors import FolderError, ResourceError
from noria.core.folder import (
    Source,
    _exchanged,
    clear_partial,
    is_up_to_date,
    lineage_of,
    new_folder,
    read_manifest,
    sha256_file,
    source_of,
    verify,
    write_bytes,
)


def make(target, text="水车"):
    source = Source("reviews", "ab" * 32, "MIT")
    with new_folder(target, kind="corpus", settings={"seed": 1}, sources=[source]) as folder:
        (folder.path / "sub").mkdir()
        (folder.path / "sub" / "train.txt").write_text(text, encoding="utf-8")
        folder.facts["rows"] = 3
    return target


def test_round_trip(tmp_path):
    manifest = verify(make(tmp_path / "corpus"))
    assert manifest.kind == "corpus"
    assert manifest.facts == {"rows": 3}
    assert manifest.settings == {"seed": 1}
    assert list(manifest.files) == ["sub/train.txt"]
    assert manifest.sources[0].licence == "MIT"
    assert source_of(tmp_path / "corpus").licence == "MIT"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus"]


def test_identity_follows_content_only(tmp_path):
    one, same, other = (
        read_manifest(make(tmp_path / name, text)) for name, text in [("a", "甲"), ("b", "甲"), ("c", "乙")]
    )
    assert one.identity() == same.identity() != other.identity()


def test_an_error_inside_leaves_the_old_folder(tmp_path):
    make(tmp_path / "corpus", "old")

    def fail_half_way():
        with new_folder(tmp_path / "corpus", kind="corpus") as folder:
            (folder.path / "x").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert (tmp_path / "corpus" / "sub" / "train.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_replacing_leaves_only_the_new_one(tmp_path):
    make(tmp_path / "corpus", "old")
    make(tmp_path / "corpus", "new")
    assert (tmp_path / "corpus" / "sub" / "train.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_a_folder_that_is_replaced_is_there_at_any_moment(tmp_path):
    make(tmp_path / "corpus", "0")
    if not _exchanged(make(tmp_path / "other"), tmp_path / "corpus"):
        pytest.skip("this file system cannot exchange two names")
    shutil.rmtree(tmp_path / "other")
    done, missed = threading.Event(), []

    def look():
        while not done.is_set():
            if not (tmp_path / "corpus").is_dir():
                missed.append(1)

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(30):
        make(tmp_path / "corpus", str(number))
    done.set()
    looking.join()
    assert not missed
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_damage_is_named(tmp_path):
    target = make(tmp_path / "corpus")
    file = target / "sub" / "train.txt"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(FolderError, match=r"train.txt is cut short or altered \(5 bytes instead of 6\)"):
        read_manifest(target)
    file.write_bytes(b"x" * len(whole))
    read_manifest(target)
    with pytest.raises(FolderError, match="was altered"):
        verify(target)
    file.unlink()
    with pytest.raises(FolderError, match=r"train\.txt is missing"):
        read_manifest(target)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kind": "model"}'])
def test_a_manifest_cut_short(tmp_path, content):
    target = make(tmp_path / "corpus")
    (target / "noria.json").write_text(content)
    with pytest.raises(FolderError):
        read_manifest(target)


def test_missing_folder_and_missing_manifest(tmp_path):
    with pytest.raises(FolderError, match="no such folder"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(FolderError, match=r"holds no noria.json"):
        read_manifest(tmp_path)


def test_kill_while_writing_leaves_the_old_folder(tmp_path):
    make(tmp_path / "corpus", "old")
    code = f"""
import time
from pathlib import Path
from noria.core.folder import new_folder
with new_folder({str(tmp_path / "corpus")!r}, kind="corpus") as folder:
    (folder.path / "x").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert (tmp_path / "corpus" / "sub" / "train.txt").read_text() == "old"
    clear_partial(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full to stand for a full disk")
def test_a_full_disk_is_one_plain_line_and_leaves_nothing(tmp_path):
    def fill():
        with new_folder(tmp_path / "corpus", kind="corpus"), Path("/dev/full").open("wb", 0) as full:
            full.write(b"x")

    with pytest.raises(ResourceError, match="the disk is full"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_write_bytes_is_whole_or_not(tmp_path):
    path = tmp_path / "deep" / "file.json"
    write_bytes(path, b"1")
    write_bytes(path, b"2")
    assert path.read_bytes() == b"2"
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]
    assert time.time() - path.stat().st_mtime < 60


def test_a_folder_is_made_only_whole_and_of_the_same_sources_and_settings(tmp_path):
    source = Source("rows.jsonl", "0" * 64)
    target = tmp_path / "made"
    assert not is_up_to_date(target, [source])
    with new_folder(target, kind="tokenizer", settings={"vocab_size": 512, "kind": "bpe"}, sources=[source]) as folder:
        (folder.path / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert is_up_to_date(target, [source])
    assert is_up_to_date(target, [source], {"vocab_size": 512})
    assert not is_up_to_date(target, [source], {"vocab_size": 513})
    assert not is_up_to_date(target, [source], {"seed": 0})
    assert not is_up_to_date(target, [])
    (target / "tokenizer.json").unlink()
    assert not is_up_to_date(target, [source])


def test_the_lineage_of_any_folder_follows_its_content(tmp_path):
    plain, own = tmp_path / "plain", tmp_path / "own"
    plain.mkdir()
    for name, text in (("b.safetensors", "two"), ("a.safetensors", "one")):
        (plain / name).write_text(text, encoding="utf-8")
    assert lineage_of(plain, "*.safetensors") == Source("plain", sha256_file(plain / "a.safetensors"))
    with new_folder(own, kind="model") as folder:
        (folder.path / "model.safetensors").write_text("one", encoding="utf-8")
    assert lineage_of(own, "*.safetensors") == source_of(own)
