"""A log that begins while others are compacted."""

from __future__ import annotations

import threading

from cl.stores.predictions.compaction import PREDICTIONS, compact, open_folder
from cl.stores.predictions.write_ahead_log import WriteAheadLog, read_entries
from cl.stores.project_folder import ProjectFolder


def test_a_compaction_at_the_same_time_takes_no_new_log_for_abandoned(tmp_path) -> None:
    project, done = ProjectFolder(tmp_path), threading.Event()
    open_folder(project).mkdir(parents=True)

    def compact_all_the_time() -> None:
        while not done.is_set():
            compact(project)

    threads = [threading.Thread(target=compact_all_the_time) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(400):
            log = WriteAheadLog(open_folder(project), PREDICTIONS.ending)
            log.append([{"id": str(number)}])
            assert [entry["id"] for entry in read_entries(log.path)] == [str(number)]
            log.path.unlink()
            log.close()
    finally:
        done.set()
        for thread in threads:
            thread.join()
