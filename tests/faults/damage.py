"""A file is not what it was: cut short, one byte changed, or gone. It is refused by name, and the remedy is told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.faults.disk_full import told_plainly
from tests.faults.prepared import Prepared
from tests.faults.trial import Attempt

HERE = "a champion's file on this machine is damaged"
THERE = "a champion's file in the registry is damaged"
DATA = "a file of data/ is damaged"
Damage = Callable[[Path], None]


def cut_short(file: Path) -> None:
    """Keep the first half of a file."""
    _as_writable(file).write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def one_byte(file: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    _as_writable(file).write_bytes(content)


def gone(file: Path) -> None:
    """Remove a file."""
    file.unlink()


def here(prepared: Prepared, file: str, damage: Damage) -> Attempt:
    """Damage the champion's copy on this machine, which is named and downloaded again."""
    folder = prepared.place / ".cl" / "versions" / "1"

    def inject() -> list[str]:
        prepared.cl("predict", "my loan")  # brings the copy
        damage(folder / file)
        ended = prepared.cl("predict", "my loan")
        wrong = [] if ended.code == 0 else [f"ended with {ended.code}, not 0: {ended.err}"]
        parts = (file, "downloaded from the registry again")
        return wrong + [f"does not name {part}: {ended.err}" for part in parts if part not in ended.err]

    return Attempt(prepared, HERE, f"{file}: {damage.__name__}", inject, lambda: None)


def there(prepared: Prepared, file: str, damage: Damage) -> Attempt:
    """Damage the champion's file in the registry's store; the remedy is a backup, or another version."""
    kept: list[Path] = []

    def inject() -> list[str]:
        shutil.rmtree(prepared.place / ".cl" / "versions", ignore_errors=True)
        (whole,) = prepared.artifacts.glob(f"models/*/artifacts/artifacts/*/{file}")
        kept.extend([whole, Path(shutil.copy2(whole, prepared.scratch / "backup"))])
        damage(whole)
        return _refused(prepared, file, "cl rollback")

    def restore() -> None:
        shutil.copy2(kept[1], kept[0])

    return Attempt(prepared, THERE, f"{file}: {damage.__name__}", inject, restore, damages=True)


def data(prepared: Prepared, file: str, damage: Damage) -> Attempt:
    """Damage a file of the experience that the champion has learnt; the remedy is `dvc checkout --force` of it."""
    path = prepared.place / "data" / "experiences" / "0001-one" / file

    def inject() -> list[str]:
        damage(path)
        return _refused(prepared, file, f"dvc checkout --force {path}")

    return Attempt(prepared, DATA, f"{file}: {damage.__name__}", inject, lambda: prepared.call(check_out, path))


def check_out(folder: Path, path: Path) -> None:
    """Run `dvc checkout --force` for one file, as the message says."""
    from dvc.cli import main

    os.chdir(folder)
    assert main(["checkout", "--force", str(path)]) == 0


def champions_of(folder: Path) -> list[str | None]:
    """Return the champion by the ledger and by the alias."""
    from cl.stores.opened import open_project

    at = open_project(folder)
    return [at.stores.ledger.champion(at.config.name), at.stores.registry.champion()]


def _refused(prepared: Prepared, file: str, remedy: str) -> list[str]:
    """Return what was wrong about how a run refused a damaged file; the champion must be what it was."""
    ended = prepared.run()
    wrong = told_plainly(ended)
    wrong += [f"does not name {part}: {ended.err}" for part in (file, remedy) if part not in ended.err]
    if (champions := prepared.call(champions_of)) != ["1", "1"]:
        wrong.append(f"the champion became {champions}")
    return wrong


def _as_writable(file: Path) -> Path:
    file.chmod(0o644)
    return file
