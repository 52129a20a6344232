"""A text file is judged as a whole before its rows: its encoding, separator and quotes, and what it really holds."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from cl.errors import SourceError
from cl.ingestion.file_formats import read_chunks
from cl.ingestion.formats.dialect import NAMES
from cl.ingestion.internal_columns import UNREADABLE

ROWS = [
    {"id": "1", "text": "Wo ist mein Paket, für Größe L?", "label": "parcel"},
    {"id": "2", "text": 'She said "never"; then | left', "label": "refund"},
    {"id": "3", "text": "deux lignes:\nété, déjà", "label": "refund"},
]
TEXTS = [
    (
        "cp1250",
        [
            "hol van a csomagom, már egy hete várok rá",
            "szeretném visszakérni a pénzemet",
            "nem működik a belépés, új jelszót kérek",
            "rossz méretű cipőt küldtek nekem",
        ],
    ),
    ("cp1252", ["Wo ist mein Paket, für Größe L?", "deux lignes:", "été, déjà"]),
    ("cp1252", ["1,café,a"]),
    ("cp1252", ["1,Größe des Pakets ist falsch, bitte ändern,a", "2,Wo ist mein Paket für Müller,b"]),
    ("cp1252", ["où est ma commande passée à l’été", "je n’ai pas reçu mon colis, c’est très gênant"]),
    ("cp1252", ["¿Dónde está mi paquete?", "Quiero cancelar la suscripción mañana"]),
    (
        "cp1251",
        [
            "где моя посылка, я жду уже неделю",
            "верните деньги пожалуйста, товар не пришел",
            "как изменить адрес доставки",
        ],
    ),
    ("cp1250", ["zażółć gęślą jaźń, gdzie moja paczka", "proszę o zwrot pieniędzy", "chcę zmienić adres"]),
    ("cp932", ["注文した商品が届きません。返金してください", "住所を変更したいのですが", "支払い方法を教えてください"]),
    (
        "gb18030",
        ["我的包裹在哪里，我已经等了一个星期了", "请退款给我，商品没有收到", "如何更改收货地址", "支付失败怎么办"],
    ),
    ("big5", ["我的包裹在哪裡，我已經等了一個星期了", "請退款給我，商品沒有收到", "如何更改收貨地址"]),
    ("cp949", ["제 소포는 어디에 있나요", "환불해 주세요, 상품이 도착하지 않았습니다", "배송지를 변경하고 싶어요"]),
    ("cp1253", ["πού είναι το δέμα μου", "θέλω επιστροφή χρημάτων παρακαλώ", "πώς αλλάζω διεύθυνση"]),
    (
        "cp1254",
        [
            "paketim nerede, bir haftadır bekliyorum",
            "lütfen paramı iade edin, ürün gelmedi",
            "adresimi değiştirmek istiyorum",
        ],
    ),
    ("cp1255", ["איפה החבילה שלי", "אני רוצה החזר כספי בבקשה"]),
    ("cp1256", ["أين طردي", "أريد استرداد أموالي من فضلك", "كيف أغير العنوان"]),
    (
        "cp1252",
        ["onde estão minhas encomendas", "não recebi as informações", "quero cancelar a opção", "limões e ações"],
    ),
    ("cp1252", ["var är mitt paket", "jag vill ändra min adress på beställningen", "återbetalning tack"]),
    (
        "cp1252",
        [
            "hvor er min pakke",
            "jeg vil gerne ændre adressen på ordren",
            "må jeg få pengene tilbage, det er for sent øv",
        ],
    ),
    ("cp1252", ["hvar er pakkinn minn", "ég vil fá endurgreiðslu, það er ekki í lagi", "þetta virkar ekki"]),
    ("cp1250", ["unde este coletul meu, aştept de o săptămână", "vreau banii înapoi vă rog", "schimbaţi adresa"]),
    (
        "cp1257",
        ["kur mano siuntinys, laukiu jau savaitę", "prašau grąžinti pinigus", "noriu pakeisti pristatymo adresą"],
    ),
    ("cp1257", ["kur ir mana sūtījums", "lūdzu atgrieziet naudu, prece nav saņemta", "vēlos mainīt adresi"]),
    ("cp1257", ["kus on minu pakk, olen oodanud nädala", "soovin raha tagasi", "kuidas muuta aadressi õigeks"]),
    ("cp1252", ["dov’è il mio pacco", "perché non è arrivato, più veloce", "città sbagliata"]),
    (
        "cp1250",
        [
            "kde je můj balíček, čekám už týden",
            "prosím vraťte mi peníze, děkuji",
            "chci změnit adresu",
            "zboží přišlo poškozené",
        ],
    ),
    ("cp1250", ["kje je moj paket, čakam že en teden", "želim vračilo denarja", "naročil sem napačno velikost"]),
    (
        "cp1252",
        [
            "missä pakettini on",
            "haluan rahani takaisin, tuote ei ole tullut perille, väärä koko",
            "vaihtaisin osoitetta",
        ],
    ),
    ("cp1252", ["Müller, café, señor, Øresund"]),
    ("cp1252", ["price: 5 € or £4 – “ok”"]),
]
"""Texts in the code pages of their languages."""


def read(path: Path, chunk_rows: int = 1_000) -> pd.DataFrame:
    return pd.concat(read_chunks(path, chunk_rows), ignore_index=True)


def rows_of(path: Path) -> list[dict]:
    return read(path).to_dict("records")


def with_texts(texts: list[str]) -> list[dict]:
    return [{"id": str(number), "text": text, "label": "a"} for number, text in enumerate(texts)]


@pytest.mark.parametrize("separator", NAMES)
@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.csv.gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_rows_are_the_same_in_every_separator_and_encoding(tmp_path, separator, name, encoding) -> None:
    content = pd.DataFrame(ROWS).to_csv(index=False, sep=separator).encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert rows_of(tmp_path / name) == ROWS


@pytest.mark.parametrize(
    ("encoding", "texts"),
    TEXTS[:3] + TEXTS[6:9],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "one line.json"])
@pytest.mark.parametrize("plain_rows", [0, 5_000])
def test_no_row_is_lost_for_its_accents_however_late_they_come(
    tmp_path, encoding, texts, kind, plain_rows, caplog
) -> None:
    rows = with_texts(["plain words"] * plain_rows + texts)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    content = {
        "csv": pd.DataFrame(rows).to_csv(index=False),
        "jsonl": "\n".join(lines),
        "json": "[" + ",\n".join(lines) + "]",
        "one line.json": json.dumps(rows, ensure_ascii=False),
    }[kind]
    (tmp_path / f"x.{kind}").write_bytes(content.encode(encoding))
    assert rows_of(tmp_path / f"x.{kind}") == rows
    (said,) = caplog.messages
    assert f"x.{kind}: read as" in said and "such as '" in said and "save it as UTF-8" in said and "\n" not in said


@pytest.mark.parametrize(("encoding", "texts"), TEXTS)
def test_the_code_page_of_a_language_is_recognised_in_a_few_rows(tmp_path, encoding, texts) -> None:
    (tmp_path / "x.csv").write_bytes(pd.DataFrame(with_texts(texts)).to_csv(index=False).encode(encoding))
    assert read(tmp_path / "x.csv")["text"].tolist() == texts


def test_a_utf_8_file_with_a_few_broken_lines_loses_those_alone(tmp_path, caplog) -> None:
    lines = [f"{number},café,a".encode() for number in range(9)] + [b"9,caf\xe9,a"]
    (tmp_path / "x.csv").write_bytes(b"id,text,label\n" + b"\n".join(lines))
    assert read(tmp_path / "x.csv")["text"].tolist() == ["café"] * 9 + ["caf\udce9"] and caplog.messages == []


def test_a_broken_text_in_a_single_line_of_utf_8_does_not_spoil_the_others(tmp_path) -> None:
    content = json.dumps(with_texts(["café", "déjà", "été", "broken"]), ensure_ascii=False).encode()
    (tmp_path / "x.json").write_bytes(content.replace(b"broken", b"br\xf6ken"))
    assert read(tmp_path / "x.json")["text"].tolist() == ["café", "déjà", "été", "br\udcf6ken"]


def test_a_file_that_mixes_encodings_is_refused_by_name(tmp_path) -> None:
    lines = [b"1,caf\xc3\xa9,a", *[b"%d,caf\xe9,a" % number for number in range(2, 9)]]
    (tmp_path / "x.csv").write_bytes(b"id,text,label\n" + b"\n".join(lines))
    with pytest.raises(SourceError, match=r"x\.csv: mixes encodings: of 8 texts .* 7 are not UTF-8.*line 3; save it"):
        read(tmp_path / "x.csv")


def test_what_a_file_was_read_as_is_said_in_one_line_and_nothing_of_a_plain_one(tmp_path, caplog) -> None:
    (tmp_path / "x.csv").write_text("id,text,label\n1,a; b; c,b\n")
    assert rows_of(tmp_path / "x.csv") == [{"id": "1", "text": "a; b; c", "label": "b"}] and caplog.messages == []
    (tmp_path / "y.csv").write_text("id;text;label\n1;a, b, c;b\n")
    assert rows_of(tmp_path / "y.csv") == [{"id": "1", "text": "a, b, c", "label": "b"}]
    assert caplog.messages == [f"{tmp_path / 'y.csv'}: read as separated by semicolons"]


QUOTED = {
    "Excel's note of its separator": ("sep=;\nid;text;label\n1;a, b;c\n", ["a, b"]),
    "quotes behind a backslash": (
        'id,text,label\n1,"say \\"hi\\", please",c\n2,"x, y",c\n',
        ['say "hi", please', "x, y"],
    ),
    "doubled quotes beside a backslash": ('id,text,label\n1,"C:\\",c\n2,"say ""hi""",c\n', ["C:\\", 'say "hi"']),
    "single quotes": ("'id','text','label'\n'1','a, b','c'\n", ["a, b"]),
    "tabs without quoting": ('id\ttext\tlabel\n1\t"Hi" he said\tc\n2\t"open\tc\n', ['"Hi" he said', '"open']),
    "tabs with quoting": ('id\ttext\tlabel\n1\t"a\tb"\tc\n2\t"say ""hi"""\tc\n', ["a\tb", 'say "hi"']),
    "commas in a header of semicolons": ('id;text;"label, last"\n1;a, b, c, d;c\n', ["a, b, c, d"]),
    "semicolons in a header of commas": ('id,text,"label;last"\n1,a;b;c;d,c\n', ["a;b;c;d"]),
    "carriage returns alone": ("id,text,label\r1,a b,c\r2,d e,c\r", ["a b", "d e"]),
    "a single column": ("text\nhello; there\n", ["hello; there"]),
}


@pytest.mark.parametrize("kind", QUOTED)
def test_quotes_and_separators_are_recognised_over_the_whole_file(tmp_path, kind) -> None:
    content, texts = QUOTED[kind]
    (tmp_path / "x.csv").write_bytes(content.encode())
    frame = read(tmp_path / "x.csv")
    assert frame["text"].tolist() == texts and UNREADABLE not in frame


ARRAYS = {
    "one line": json.dumps(ROWS),
    "indented": json.dumps(ROWS, indent=2, ensure_ascii=False),
    "an element a line": "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n",
}


@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.csv", "x.json.gz"])
@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_of_objects_is_read_whatever_the_file_is_called(tmp_path, name, kind) -> None:
    content = ARRAYS[kind].encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert rows_of(tmp_path / name) == ROWS


def test_a_long_array_comes_in_chunks_and_takes_no_more_at_once(tmp_path) -> None:
    rows = [{"id": str(number), "text": f"{number} " * 200} for number in range(3_000)]
    (tmp_path / "x.json").write_text(json.dumps(rows, indent=1))
    chunks = list(read_chunks(tmp_path / "x.json", 1_000))
    assert [len(chunk) for chunk in chunks] == [1_000] * 3
    assert pd.concat(chunks).to_dict("records") == rows


def test_an_element_that_is_no_object_is_unreadable_by_itself(tmp_path) -> None:
    (tmp_path / "x.json").write_text('[{"id": "1"}, "two", [3], {"id": "4"}]')
    frame = read(tmp_path / "x.json")
    assert [row.line for row in frame[UNREADABLE].dropna()] == ['"two"', "[3]"] and frame["id"][3] == "4"


@pytest.mark.parametrize("end", ["", ",", ', {"id"', "] x", '] [{"id": "2"}]', ", ]", "} ]"])
def test_a_damaged_array_is_refused_as_a_whole(tmp_path, end) -> None:
    (tmp_path / "x.json").write_text('[{"id": "1", "text": "a"}' + end)
    with pytest.raises(SourceError, match=r"x\.json: .*JSON array.*give one whole array, or JSON lines"):
        read(tmp_path / "x.json")


@pytest.mark.parametrize(
    "content", [b"{\n}", b'{"text": {"0": "a"}}', b"[1, 2]", b'"text"', b'{"data": [{"id": 1}]}\n']
)
def test_a_single_json_value_is_refused_by_name(tmp_path, content) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(SourceError, match=r"x\.json: holds no rows but a single JSON value; give the array"):
        read(tmp_path / "x.json")


def test_json_lines_are_read_whatever_the_file_is_called(tmp_path) -> None:
    for name in ("x.json", "x.csv"):
        (tmp_path / name).write_text("\n".join(map(json.dumps, ROWS)))
        assert rows_of(tmp_path / name) == ROWS


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.csv", b"PK\x03\x04 and more", "is a ZIP archive and no Excel workbook; unpack it"),
        ("x.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", r"Excel file of the old kind \(\.xls\); save it as"),
        ("x.csv", b"BZh91AY&SY", "packed with bzip2; unpack it"),
        ("x.jsonl", b"\x28\xb5\x2f\xfd\x04", "packed with zstd; unpack it"),
        ("x.csv", b"SQLite format 3\0", "is a SQLite database; set data.source"),
        ("x.xlsx", b"id,text\n1,a\n", "is no Excel workbook; save it as"),
        ("x.feather", b"FEA1....", "Feather of version 1; save it as Parquet"),
        ("x.feather", b"id,text\n1,a\n", "cannot be read"),
    ],
)
def test_a_file_of_another_kind_is_refused_in_one_line_with_the_remedy(tmp_path, name, content, says) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=says) as error:
        read(tmp_path / name)
    assert name in str(error.value) and "\n" not in str(error.value)
