from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from cl.process.lazy_packages import lazily

FILES = {
    "__init__.py": "from . import small\nfrom .big import Big as Renamed, other\nfrom shop_window.used import RATE\n"
    "import json\nPRICE = RATE * 2\n__all__ = ['small', 'Renamed']\n",
    "small.py": "from shop_window import used\nSIZE = used.RATE\n",
    "big.py": "class Big: ...\nother = object()\n",
    "used.py": "RATE = 3\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that imports all its modules at once."""
    (tmp_path / "shop_window").mkdir()
    for name, text in FILES.items():
        (tmp_path / "shop_window" / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield "shop_window"
    for module in [module for module in sys.modules if module.split(".")[0] == "shop_window"]:
        del sys.modules[module]


def imported() -> set[str]:
    return {module for module in sys.modules if module.startswith("shop_window.")}


def test_a_name_is_imported_when_it_is_first_used_and_is_the_same_object(package) -> None:
    with lazily(package):
        shop = importlib.import_module(package)
    assert imported() == {"shop_window.used"}, "which its own code uses"
    assert (shop.PRICE, shop.json.dumps([])) == (6, "[]")
    assert shop.small.SIZE == 3 and imported() == {"shop_window.used", "shop_window.small"}
    renamed, big = shop.Renamed, importlib.import_module("shop_window.big")
    assert renamed is big.Big and shop.other is big.other and "Renamed" in vars(shop)
    with pytest.raises(AttributeError, match="module 'shop_window' has no attribute 'cheap'"):
        _ = shop.cheap
    with pytest.raises(ImportError):
        exec("from shop_window import cheap")


def test_a_from_import_finds_names_and_modules(package) -> None:
    names: dict[str, object] = {}
    with lazily(package):
        exec("from shop_window import Renamed, small", names)
    assert names["Renamed"].__name__ == "Big" and names["small"] is sys.modules["shop_window.small"]  # type: ignore[attr-defined]


def test_other_packages_and_later_imports_are_as_ever(package) -> None:
    with lazily("shop_front"):
        importlib.import_module(package)
    assert imported() == {f"shop_window.{name}" for name in ("small", "big", "used")}
    assert not any(type(finder).__module__ == "cl.process.lazy_packages" for finder in sys.meta_path)
