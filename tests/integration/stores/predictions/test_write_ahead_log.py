from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from cl.stores.predictions.compaction import FEEDBACK, PREDICTIONS, compact, delete_expired, open_folder
from cl.stores.predictions.write_ahead_log import WriteAheadLog, abandoned_file, read_entries
from cl.stores.project_folder import ProjectFolder

SAID = [
    {"id": str(at), "label": f"lost\ncard ü {at}", "recorded_at": f"2026-01-01T00:00:0{at}+00:00"} for at in range(5)
]


def written(project: ProjectFolder, entries=SAID) -> WriteAheadLog:
    file = WriteAheadLog(open_folder(project), FEEDBACK.ending)
    file.append(entries)
    return file


def test_what_was_written_is_read_even_while_it_is_being_written(tmp_path) -> None:
    file = written(ProjectFolder(tmp_path))
    assert list(read_entries(file.path)) == SAID
    file.append([{"id": "9", "label": "half \ud800 a pair"}])
    assert list(read_entries(file.path))[-1] == {"id": "9", "label": "half ? a pair"}


@pytest.mark.parametrize(("cut", "left"), [(0, 5), (1, 4), (40, 4), (110, 3)])
def test_a_torn_end_costs_what_it_has_torn_and_nothing_else(tmp_path, cut, left) -> None:
    file = written(ProjectFolder(tmp_path))
    os.truncate(file.path, file.size - cut)
    assert list(read_entries(file.path)) == SAID[:left]


def test_a_damaged_line_costs_itself_alone(tmp_path) -> None:
    file = written(ProjectFolder(tmp_path))
    lines = file.path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"card", b"carb")
    lines[3] = b"\x00\xff no line at all\n"
    file.path.write_bytes(b"".join(lines))
    assert list(read_entries(file.path)) == [SAID[0], SAID[2], SAID[4]]


def test_a_file_belongs_to_its_writer_until_the_writer_dies(tmp_path) -> None:
    project = ProjectFolder(tmp_path)
    code = (
        "import sys, time, pathlib; from cl.stores.project_folder import ProjectFolder\n"
        "from tests.integration.stores.predictions.test_write_ahead_log import written\n"
        "written(ProjectFolder(pathlib.Path(sys.argv[1]))); print('written', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"written\n"
    (path,) = FEEDBACK.open(project)
    with abandoned_file(path) as free:
        assert not free
    assert compact(project) == 0
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert compact(project) == 1 and FEEDBACK.open(project) == []
    (sealed,) = FEEDBACK.sealed(project)
    assert pq.read_table(sealed).to_pylist() == [{**one, "tags": None, "answer": None} for one in SAID]


def test_sealing_that_was_killed_between_two_steps_is_repeated_and_nothing_is_there_twice(tmp_path) -> None:
    project = ProjectFolder(tmp_path)
    file = written(project)
    file.close()
    content = file.path.read_bytes()
    compact(project)
    file.path.write_bytes(content)  # as if it had been killed before it took the file away
    (open_folder(project) / f"1-1{FEEDBACK.ending}.draft").touch()
    (project.root / "predictions/feedback/1-1.draft").write_bytes(b"PAR1")
    compact(project)
    assert list(open_folder(project).iterdir()) == [] and len(FEEDBACK.sealed(project)) == 1
    assert pq.read_table(FEEDBACK.sealed(project)[0]).num_rows == len(SAID)


def test_an_empty_file_leaves_nothing(tmp_path) -> None:
    project = ProjectFolder(tmp_path)
    WriteAheadLog(open_folder(project), PREDICTIONS.ending).close()
    compact(project)
    assert PREDICTIONS.open(project) == PREDICTIONS.sealed(project) == []


def test_entries_that_find_no_room_are_taken_back_whole(tmp_path) -> None:
    """A limit on the size of a file fails a write in the middle, as a full disk does."""
    file = written(ProjectFolder(tmp_path))
    before, limits = file.size, resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            file.append(SAID)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert file.path.stat().st_size == before and not file.broken
    file.append(SAID[:1])
    assert list(read_entries(file.path)) == [*SAID, SAID[0]]


def test_what_is_too_old_is_deleted_and_what_was_predicted_by_hand_stays(tmp_path) -> None:
    import pandas as pd

    from cl.stores.predictions.predictions import Predictions

    project = ProjectFolder(tmp_path)
    by_hand = Predictions(project).append(pd.DataFrame({"id": ["a"], "text": ["b"], "recorded_at": ["2020-01-01"]}))
    for _ in range(2):
        written(project).close()
    file = WriteAheadLog(open_folder(project), PREDICTIONS.ending)
    file.append([{"id": "1", "role": "champion"}])
    file.close()
    for path in (*FEEDBACK.open(project)[:1], file.path, by_hand):
        os.utime(path, (0, 0))
    compact(project)
    assert delete_expired(project, days=90) == 2
    assert len(FEEDBACK.sealed(project)) == 1 and PREDICTIONS.sealed(project) == [by_hand]
