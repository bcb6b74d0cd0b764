"""Inputs of rows and corpora that were once read wrongly, each by its name and with its right value."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest

from noria.core.caveats import caveats
from noria.core.errors import InputError, RowError
from noria.core.folder import Manifest, Source, read_manifest, sha256_file
from noria.core.progress import Report
from noria.make.compress.rows import report_calibrated
from noria.make.corpus.build import build_corpus
from noria.make.corpus.settings import CleanSettings
from noria.make.training.finetune.rows import read_sets
from noria.make.training.settings import RowSettings
from noria.tasks.remembered import given_for, report_made_from, rows_for
from noria.tasks.task import Row, read_rows, task_for
from noria.text.personal_data import mask
from noria.text.records import read_records

CASES = Path(__file__).parent / "inputs" / "make"


def read(name: str | Path, task: str = "classify", *, many: bool = False, **options: object) -> tuple[list[Row], str]:
    report = Report(stream=io.StringIO())
    made = task_for(task, many=many)
    rows = read_rows(CASES / name, made, report=report, **options)  # type: ignore[arg-type]
    return rows, report.stream.getvalue()  # type: ignore[attr-defined]


def labels(name: str) -> list[str]:
    return [row["label"] for row in read(name)[0]]


def cleaned(tmp_path: Path, *names: str) -> tuple[list[dict], str]:
    report = Report(stream=io.StringIO())
    settings = CleanSettings(valid_share=0.0, test_share=0.0)
    folder = build_corpus([CASES / name for name in names], tmp_path / "corpus", settings, report=report)
    lines = (folder / "train.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line], report.stream.getvalue()  # type: ignore[attr-defined]


def test_a_bad_first_row_is_skipped_and_not_the_file() -> None:
    rows, said = read("first-row-bad.csv", skip_bad=True)
    assert [row["label"] for row in rows] == ["好评", "差评"]
    assert "1 bad rows skipped" in said
    assert "line 2: another number of cells than the header" in said
    with pytest.raises(RowError, match="line 2"):
        read("first-row-bad.csv")


@pytest.mark.parametrize("name", ["many.csv", "many-comma.csv"])
def test_a_cell_of_several_labels_is_cut(name: str) -> None:
    rows, said = read(name, many=True)
    assert [row["labels"] for row in rows] == [sorted(["物流", "价格"]), ["质量"]]
    assert "1 cells hold several labels" in said
    assert "物流 + 价格" in said


@pytest.mark.parametrize("mark", ["|", ";", "；", "、", ",", "，", " | ", "\n"])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_any_mark_between_labels(tmp_path: Path, mark: str, form: str) -> None:
    cell = f"物流{mark}价格"
    text = f'text,labels\n太慢,"{cell}"\n好,质量\n' if form == "csv" else json.dumps({"text": "太慢", "labels": cell})
    (tmp_path / f"r.{form}").write_text(text, encoding="utf-8")
    rows, _ = read(tmp_path / f"r.{form}", many=True)
    assert rows[0]["labels"] == sorted(["物流", "价格"])


def test_a_comma_inside_a_label_that_always_comes_whole_stays(tmp_path: Path) -> None:
    cells = '"Food, drink"\n' * 3 + "Toys\n" * 3
    text = "text,labels\n" + "".join(f"t{number},{cell}\n" for number, cell in enumerate(cells.split("\n")[:-1]))
    (tmp_path / "r.csv").write_text(text, encoding="utf-8")
    rows, said = read(tmp_path / "r.csv", many=True)
    assert {label for row in rows for label in row["labels"]} == {"Food, drink", "Toys"}
    assert "commas are part of labels" in said


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("label-spaces.csv", ["好评", "好评", "好评", "差评"]),
        ("label-zero-width.csv", ["好评", "好评", "好评", "差评"]),
        ("label-float.csv", ["1", "0", "1", "0"]),
        ("label-int.jsonl", ["1", "0"]),
        ("label-num.jsonl", ["1", "1", "1", "1", "0"]),
    ],
)
def test_labels_that_look_alike_are_one(name: str, found: list[str]) -> None:
    rows, said = read(name)
    assert [row["label"] for row in rows] == found
    assert ("joined:" in said) == (name != "label-int.jsonl")


def test_labels_of_spans_that_look_alike_are_one() -> None:
    rows, said = read("span-label-spaces.jsonl", "tag")
    assert [span["label"] for span in rows[0]["spans"]] == ["PER", "PER"]
    assert "joined: 'PER' (1) and 'PER ' (1) are one label, 'PER'" in said


def test_a_label_is_the_same_to_clean_however_it_is_written(tmp_path: Path) -> None:
    documents, said = cleaned(tmp_path, "label-num.jsonl")
    assert len(documents) == 2
    assert "conflicting" not in said


def test_one_detector_of_encodings_for_rows_and_corpora(tmp_path: Path) -> None:
    rows, said = read("big5.csv")
    assert rows[0] == {"text": "這個產品的品質很好", "label": "好評"}
    assert "read as Big5" in said
    assert [row["text"] for row in cleaned(tmp_path, "big5.csv")[0]] == ["這個產品的品質很好", "客服態度不好"]


def test_a_spans_own_text_is_held_against_its_place() -> None:
    with pytest.raises(RowError, match=r"not what stands there.*'张三', and '三在' from 2 to 4.*UTF-16"):
        read("span-text-contradicts.jsonl", "tag")


def test_characters_are_joined_to_the_text_that_is_served() -> None:
    row = read("chars-latin.jsonl", "tag")[0][0]
    assert row["text"] == "买iPhone15去"
    assert row["spans"] == [{"start": 1, "end": 9, "label": "PROD"}]


def test_a_table_of_tabs_has_no_quotes() -> None:
    rows, _ = read("tsv-quotes.tsv")
    assert [row["text"] for row in rows] == ['5" 屏幕很亮', '"好"吃', '"引号开头没有结尾', "ok"]


@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [
        ("excel-short-rows.csv", 3, ["text", "label", "备注"]),
        ("trailing-empties-rows-only.csv", 2, ["text", "label"]),
        ("sep-line.csv", 1, ["text", "label"]),
    ],
)
def test_what_excel_leaves_out_or_adds_is_empty(name: str, rows: int, columns: list[str]) -> None:
    found = list(read_records(CASES / name))
    assert len(found) == rows
    assert all(isinstance(record, dict) and list(record) == columns for _, record in found)
    assert len(read(name)[0]) == rows


def test_other_forms_are_read_or_named() -> None:
    assert read("json-array.json")[0][0] == {"text": "物流", "label": "好评"}
    turns = [{"role": "user", "content": "怎么退货"}, {"role": "assistant", "content": "七天内"}]
    assert read("alpaca.json", "chat")[0] == [{"messages": turns}]
    assert read("sharegpt.jsonl", "chat")[0][0]["messages"][1] == {"role": "assistant", "content": "hello"}
    row = read("bmes.jsonl", "tag")[0][0]
    assert [row["text"][span["start"] : span["end"]] for span in row["spans"]] == ["张三", "京"]
    with pytest.raises(
        RowError, match=r"the form of ShareGPT are for chat, not for classify.*noria build finetune chat"
    ):
        read("sharegpt.jsonl")


def test_near_repeats_between_the_sets_are_told() -> None:
    report = Report(stream=io.StringIO())
    _, sets = read_sets(
        task_for("classify"),
        CASES / "leak-near-a.jsonl",
        CASES / "leak-near-b.jsonl",
        CASES / "leak-near-b.jsonl",
        RowSettings(),
        seed=0,
        report=report,
    )
    said = report.stream.getvalue()  # type: ignore[attr-defined]
    assert "2 of 2 test texts nearly repeat training texts: the figures will flatter" in said
    assert "2 of 2 valid texts nearly repeat training texts" in said
    assert "这家酒店的位置很好" in said
    assert sets.seen.facts()["leaks"][1] == {"set": "test", "rows": 2, "same": 0, "near": 2, "near_skipped": False}


def test_spans_of_null_are_none_and_csv_is_read(tmp_path: Path) -> None:
    documents, _ = cleaned(tmp_path, "spans-none.jsonl", "raw.csv")
    assert len(documents) == 6, "two rows of raw.csv say what spans-none.jsonl says"
    assert documents[0]["meta"]["spans"] == []
    assert read("spans-none.jsonl", "tag", skip_bad=True)[0][0]["spans"] == []


@pytest.mark.parametrize(
    "text",
    [
        "请升级到版本 1.2.3.4 再试",
        "当前版本：8.8.4.4",
        "Version: 8.8.4.4",
        "v8.8.4.4",
        "8.8.4.4版",
        "固件版本号为 v8.1.2.3",
        "版本从8.8.4.4升级到8.8.4.5",
        "versions 8.8.4.4 and 8.8.4.5",
        "Chrome/120.1.2.3 Safari",
        "build 8.8.4.4",
        "iOS 17.1.2.3 闪退",
    ],
)
def test_versions_are_no_addresses(text: str) -> None:
    assert mask(text)[0] == text


@pytest.mark.parametrize(
    "text",
    [
        "服务器 8.8.8.8",
        "Server 8.8.8.8",
        "登录自8.8.8.8。",
        "地址更新为 8.8.8.8",
        "http://8.8.8.8/x",
        "版权 8.8.8.8",
        "版本 1.2.3.4，来自 8.8.8.8",
    ],
)
def test_addresses_are_still_masked(text: str) -> None:
    assert mask(text)[0] == text.replace("8.8.8.8", "<IP>")


def test_a_packed_file_is_read_like_any(tmp_path: Path) -> None:
    image = (CASES / "label-spaces.csv").read_bytes()
    (tmp_path / "r.csv.gz").write_bytes(gzip.compress(image))
    assert read(tmp_path / "r.csv.gz")[0] == read("label-spaces.csv")[0]


def test_a_folder_names_what_it_does_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "a.csv").write_bytes((CASES / "raw.csv").read_bytes())
    (folder / "b.rtf").write_bytes(b"{\\rtf1}")
    (folder / ".DS_Store").write_bytes(b"\x00\x01")
    (folder / "c.docx").write_bytes(b"PK\x03\x04")
    (folder / "config.json").write_text('{"lr": 0.1}')
    report = Report(stream=io.StringIO())
    out = build_corpus([folder], tmp_path / "corpus", CleanSettings(valid_share=0.0, test_share=0.0), report=report)
    said = report.stream.getvalue()  # type: ignore[attr-defined]
    for name in ("b.rtf", ".DS_Store", "c.docx", "config.json"):
        assert name in said
    left = read_manifest(out).facts["not_read"]
    assert sum(one["files"] for one in left.values()) == 4
    facts = read_manifest(out).facts
    assert facts["rows"] == facts["kept"] + sum(facts["drops"].values())
    with pytest.raises(InputError, match="RTF is not read"):
        build_corpus([folder / "b.rtf"], tmp_path / "other", report=Report.silent())


def written(tmp_path: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    (tmp_path / name).write_bytes(text.encode(encoding))
    return tmp_path / name


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("big5", "「這個產品的品質很好」，真的！"),
        ("gbk", "赞"),
        ("gbk", "烂"),
        ("gbk", "鑫淼"),
        ("gbk", "手机屏幕坏"),
        ("cp1252", "Livraison très rapide… ça «\xa0marche\xa0» à 10 €"),
        ("cp1252", "Größe fehlt, schöne Füße"),
        ("cp1252", "Tää on hyvää"),
        ("cp1252", "ÉÉN ÄÖÜ Ä Ö"),
        ("cp1252", "¿Qué tal? Sí, coração"),
        ("cp1252", "£5 – “good”"),
        ("shift_jis", "配送が早くて良かったです。"),
        ("shift_jis", "サービスが良いです"),
        ("euc_jp", "配送が早くて良かったです。"),
        ("euc_kr", "배송이 빨라요 품질이 좋아요"),
        ("utf-16-le", "这个产品很好"),
        ("utf-16-be", "這個產品很好"),
        ("utf-16", "很好"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_text_in_any_encoding_is_read_as_it_was_written(tmp_path: Path, encoding: str, text: str, form: str) -> None:
    body = f"text;label\r\n{text};a\r\n" if form == "csv" else f'{{"text": "{text}", "label": "a"}}\n'
    assert read(written(tmp_path, f"r.{form}", body, encoding))[0] == [{"text": text, "label": "a"}]


@pytest.mark.parametrize("encoding", ["cp1251", "koi8_r", "cp1253"])
def test_an_encoding_that_is_not_known_is_refused_and_not_guessed(tmp_path: Path, encoding: str) -> None:
    text = "Доставка быстрая, плохо" if encoding != "cp1253" else "Γρήγορη παράδοση"
    with pytest.raises(InputError, match=r"bytes of no known encoding.*save it as UTF-8"):
        read(written(tmp_path, "r.csv", f"text;label\n{text};a\n", encoding))


@pytest.mark.parametrize(
    "above",
    ["2024年客服记录", "2024年客服记录,,\n,,", "Customer reviews export,,\nGenerated 2024-01-01,,", '"导出，2024",,'],
)
def test_titles_above_the_names_of_the_columns_are_passed_over_and_told(tmp_path: Path, above: str) -> None:
    rows, said = read(written(tmp_path, "r.csv", f"{above}\ntext,label,id\n好,好评,1\n坏,差评,2\n"))
    assert [row["label"] for row in rows] == ["好评", "差评"]
    assert "lines above the names of the columns passed over" in said
    line, _ = next(iter(read_records(tmp_path / "r.csv")))
    assert line == 3 + above.count("\n")


def test_a_table_of_one_column_has_no_title(tmp_path: Path) -> None:
    assert read_records(written(tmp_path, "r.csv", "text\nhello\ntext and label, both\n")).columns == ("text",)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("r.csv", '{"text": "好", "label": "a"}\n{"text": "坏", "label": "b"}\n'),
        ("r.csv", '[{"text": "好", "label": "a"}, {"text": "坏", "label": "b"}]'),
        ("r.jsonl", '[{"text": "好", "label": "a"},\n{"text": "坏", "label": "b"}]\n'),
    ],
)
def test_a_name_that_its_bytes_contradict(tmp_path: Path, name: str, text: str) -> None:
    assert read(written(tmp_path, name, text))[0] == [{"text": "好", "label": "a"}, {"text": "坏", "label": "b"}]


@pytest.mark.parametrize("name", ["r.jsonl", "r.json"])
def test_a_table_called_json_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"is not JSON.*a table has the ending \.csv"):
        read(written(tmp_path, name, "text,label\n好,a\n"))


@pytest.mark.parametrize("cell", ["NaN", "nan", "NULL", "#N/A", "<NA>"])
def test_a_cell_for_no_value_is_no_label(tmp_path: Path, cell: str) -> None:
    path = written(tmp_path, "r.csv", f"text,label\n好,{cell}\n坏,差评\n")
    with pytest.raises(RowError, match="line 2, column 'label': the field is null"):
        read(path)
    rows, said = read(path, skip_bad=True)
    assert [row["label"] for row in rows] == ["差评"]
    assert "1 bad rows skipped" in said


def test_columns_of_0_and_1_are_labels_and_lists_of_them_are_not(tmp_path: Path) -> None:
    table = written(tmp_path, "r.csv", "text,好评,差评\n好,1,0\n坏,0,1\n")
    rows, said = read(table)
    assert [row["label"] for row in rows] == ["好评", "差评"]
    assert "labels from columns of 0 and 1: 好评, 差评" in said
    assert [row["labels"] for row in read(table, many=True)[0]] == [["好评"], ["差评"]]
    several = written(
        tmp_path, "s.jsonl", '{"text": "a", "toxic": 1, "insult": 1}\n{"text": "b", "toxic": 0, "insult": 0}\n'
    )
    with pytest.raises(InputError, match=r"2 of 2 rows have none or several.*--many"):
        read(several)
    assert [row["labels"] for row in read(several, many=True)[0]] == [["insult", "toxic"], []]
    with pytest.raises(InputError, match="lists of 0 and 1 in the place of labels"):
        read(written(tmp_path, "l.jsonl", '{"text": "a", "labels": [1, 0]}\n{"text": "b", "labels": [0, 1]}\n'))


@pytest.mark.parametrize(
    "cell", ["['物流' '价格']", "{物流,价格}", "(物流,价格)", "{'物流', '价格'}", "物流｜价格", "物流﹔价格"]
)
def test_lists_as_other_programs_print_them(tmp_path: Path, cell: str) -> None:
    rows, _ = read(written(tmp_path, "r.csv", f'text,labels\na,"{cell}"\nb,质量\nc,(其他)\n'), many=True)
    assert [row["labels"] for row in rows] == [["价格", "物流"], ["质量"], ["(其他)"]]


@pytest.mark.parametrize("mark", ["/", "／", "+", "&", "#", " ", "\t", "·"])
def test_several_in_one_label_are_told(tmp_path: Path, mark: str) -> None:
    rows, said = read(written(tmp_path, "r.csv", f'text,labels\na,"物流{mark}价格"\nb,物流\n'), many=True)
    assert len(rows[0]["labels"]) == 1
    assert "1 labels look like several in one" in said


@pytest.mark.parametrize("other", ["好评。", "「好评」", '"""好评"""', "好评!"])
def test_labels_unlike_by_punctuation_are_told(tmp_path: Path, other: str) -> None:
    rows, said = read(written(tmp_path, "r.csv", f"text,label\na,好评\nb,{other}\nc,差评\n"))
    assert len({row["label"] for row in rows}) == 3
    assert "labels that differ by case, punctuation or leading zeros alone are kept apart" in said


@pytest.mark.parametrize("mark", ["label,0", "score,0.2", "similarity,4.5", "label,neutral", "label,false"])
def test_a_pair_marked_as_unlike_is_not_learned_as_alike(tmp_path: Path, mark: str) -> None:
    name, value = mark.split(",")
    path = written(tmp_path, "r.csv", f"sentence1,sentence2,{name}\na,b,1\nc,d,{value}\n")
    with pytest.raises(RowError, match=f"line 3, column '{name}': a pair that is not marked as alike"):
        read(path, "embed")
    assert read(path, "embed", skip_bad=True)[0] == [{"anchor": "a", "positive": "b"}]


def test_a_blank_negative_is_none(tmp_path: Path) -> None:
    path = written(tmp_path, "r.csv", "anchor,positive,negative\na,b,\nc,d,e\n")
    assert read(path, "embed")[0] == [
        {"anchor": "a", "positive": "b"},
        {"anchor": "c", "positive": "d", "negative": "e"},
    ]


def test_lists_in_cells_of_other_tools_tables(tmp_path: Path) -> None:
    table = 'text,entities\n张三在,"[[0, 2, ""PER""]]"\n'
    assert read(written(tmp_path, "e.csv", table), "tag")[0][0]["spans"] == [{"start": 0, "end": 2, "label": "PER"}]
    table = "context,question,answers\nParis is big.,q,\"{'text': ['big'], 'answer_start': [9]}\"\n"
    assert read(written(tmp_path, "s.csv", table), "answer")[0][0]["answers"] == [{"text": "big", "start": 9}]
    assert [row["spans"] for row in read(written(tmp_path, "n.csv", "text,spans\na,[]\nb,\n"), "tag")[0]] == [[], []]
    with pytest.raises(RowError, match="form of a token a row"):
        read(written(tmp_path, "t.csv", "sentence_id,word,tag\n1,张,B-P\n1,三,I-P\n"), "tag")


def test_more_forms_of_talks(tmp_path: Path) -> None:
    def turns(record: dict) -> list[str]:
        row = read(written(tmp_path, "r.jsonl", json.dumps(record)), "chat")[0][0]
        return [turn["content"] for turn in row["messages"]]

    assert turns({"query": "c", "response": "d", "history": [["a", "b"]]}) == ["a", "b", "c", "d"]
    assert turns({"instruction": "", "input": "a", "output": "b"}) == ["a", "b"]
    assert turns({"instruction": "a", "context": "b", "response": "c"}) == ["a\n\nb", "c"]
    parts = [{"type": "text", "text": "a"}]
    talk = [
        {"role": "developer", "content": "s"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "b"},
    ]
    assert turns({"messages": talk}) == ["s", "a", "b"]
    with pytest.raises(RowError, match="form of preferences"):
        turns({"prompt": "a", "completion": "b", "label": False})
    talk[2] |= {"content": None, "tool_calls": [{"id": "1"}]}
    with pytest.raises(RowError, match=r"calls of tools are not learned from|a call of a tool"):
        turns({"messages": talk})


@pytest.mark.parametrize("other", ["标签", "labels", "label", "类别"])
@pytest.mark.parametrize("many", [False, True])
def test_a_column_that_was_named_is_the_truth_whatever_stands_beside_it(tmp_path: Path, other: str, many: bool) -> None:
    path = written(tmp_path, "r.csv", f"工单描述,处理组,{other}\n太慢,物流,x\n太贵,价格,y\n")
    rows, said = read(path, many=many, columns={"text": "工单描述", "label": "处理组"})
    assert [row.get("label") or row["labels"][0] for row in rows] == ["物流", "价格"]
    assert other not in said


def test_rows_that_training_held_are_told_where_a_model_is_judged(tmp_path: Path) -> None:
    rows = written(tmp_path, "rows.csv", "text,label\n很好,好评\n太差,差评\n")
    manifest = Manifest("model", "", "", {}, (Source(rows.name, sha256_file(rows)),), {"task": "classify"}, {})
    report = Report(stream=io.StringIO())
    assert report_made_from(manifest, rows, report)
    assert not report_made_from(manifest, written(tmp_path, "other.csv", "text,label\n还行,好评\n"), report)
    said = report.stream.getvalue()  # type: ignore[attr-defined]
    assert said.count("rows.csv is a file that the model was trained on or chosen by") == 1
    assert "other.csv" not in said
    report_calibrated(
        ["很好", {"text": "别的"}], [{"text": "很好", "label": "好评"}, {"text": "太差", "label": "差评"}], report
    )
    assert "1 of 2 held-out rows are also calibration texts" in report.stream.getvalue()  # type: ignore[attr-defined]
    found = caveats(
        {"leaks": [{"set": "valid", "same": 3, "near": 0, "rows": 3}, {"set": "test", "same": 1, "near": 1, "rows": 4}]}
    )
    assert len(found) == 1
    assert found[0].startswith("2 of 4 texts of the test set are training texts, or nearly")


def test_more_files_that_are_not_what_they_are_called(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="zero bytes"):
        read(written(tmp_path, "zero.csv", "text,label\na\0b,x\n"))
    with pytest.raises(InputError, match="is an HTML page"):
        read(written(tmp_path, "page.csv", "<!DOCTYPE html><table><tr><td>a</td></tr></table>"))
    with pytest.raises(InputError, match="is a PDF, and no table of rows"):
        read(written(tmp_path, "scan.txt", "%PDF-1.7\nxx"))
    index = '{"1": {"text": "好", "label": "a"}, "2": {"text": "坏", "label": "b"}}'
    assert [row["label"] for row in read(written(tmp_path, "index.json", index))[0]] == ["a", "b"]
    rows, said = read(written(tmp_path, "drawn.csv", "| text | label |\n|---|:---:|\n| 好 | a |\n"))
    assert [row["label"] for row in rows] == ["a"]
    assert "1 rows of dashes passed over" in said


@pytest.mark.parametrize(
    ("name", "text", "task"),
    [
        ("r.txt", "__label__a 很好\n__label__b 太差\n", "classify"),
        (
            "r.jsonl",
            '{"data": {"text": "很好"}, "annotations": [{"result": [{"value": {"choices": ["a"]}}]}]}\n'
            '{"data": {"text": "太差"}, "annotations": [{"result": [{"value": {"choices": ["b"]}}]}]}\n',
            "classify",
        ),
        ("r.jsonl", '{"text": "很好", "label": [[0, 1, "a"]]}\n{"text": "太差", "label": [[0, 1, "b"]]}\n', "tag"),
        ("r.conll", "很 B-a\n好 O\n\n太 B-b\n差 O\n", "tag"),
    ],
)
def test_what_a_model_is_shown_is_read_as_what_it_learned_from(tmp_path: Path, name: str, text: str, task: str) -> None:
    path = written(tmp_path, name, text)
    manifest = Manifest("model", "", "", {}, (), {"task": task, "labels": ["a", "b"]}, {})
    assert given_for(manifest, path) == [{"text": "很好"}, {"text": "太差"}]
    assert [row["text"] for row in rows_for(manifest, path)] == ["很好", "太差"]


@pytest.mark.parametrize(
    "row",
    [
        {"text": "张三在", "label": [{"start": 0, "end": 2, "text": "张三", "labels": ["PER"]}]},
        {"text": "张三在", "annotations": [{"start": 0, "end": 2, "label": "PER"}]},
        {"text": "张三在", "tags": ["B-PER", "I-PER", "O"]},
        {"sentence": "张三在", "ner_tags": ["B-PER", "E-PER", "O"]},
    ],
)
def test_more_ways_to_mark_a_span(tmp_path: Path, row: dict) -> None:
    rows, _ = read(written(tmp_path, "r.jsonl", json.dumps(row)), "tag")
    assert rows == [{"text": "张三在", "spans": [{"start": 0, "end": 2, "label": "PER"}]}]
