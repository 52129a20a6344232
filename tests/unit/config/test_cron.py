from __future__ import annotations

import random
from datetime import datetime

import pytest

from cl.config import parse
from cl.config.cron import check_cron
from cl.errors import ConfigError

FIRES = ["0 6 * * 1", "@daily", "0 0 29 2 *", "0 0 31 1,2 *", "*/15 22-6 * jan-mar mon-fri", "0 0 L * *", "0 0 * * 5#2"]


@pytest.mark.parametrize("schedule", FIRES)
def test_a_schedule_that_fires_is_accepted(schedule) -> None:
    assert parse({"triggers": {"cron": schedule}}, where="x").triggers.cron == schedule


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("0 0 31 2 *", "never fires: no month '2' has a day '31'"),
        ("0 0 30-31 feb *", "never fires"),
        ("0 0 31 4,6,9,11 *", "never fires"),
        ("0 0 0 1 1 *", "needs 5 fields .* has 6"),
        ("0 6 * *", "needs 5 fields .* has 4"),
        ("", "needs 5 fields .* has 0"),
        ("@reboot", "needs 5 fields"),
        ("60 * * * *", "minute '60' is not a number from 0 to 59"),
        ("0 0 0 * *", "day '0' is not a number from 1 to 31"),
        ("0 0 * 13 *", "month '13' is not a number from 1 to 12 or a name such as jan"),
        ("*/0 * * * *", "minute '\\*/0' cannot be read"),
        ("? * * * *", "minute '\\?' cannot be read"),
        ("H * * * *", "minute 'h' is not a number"),
        ("1, * * * *", "minute '' cannot be read"),
        ("0 0 1 * mon#2", "cannot be combined with a day"),
        ("9" * 4_000, "needs 5 fields"),
        ("9" * 4_000 + " * * * *", "minute '99999999999999999999' is not a number"),
    ],
)
def test_a_schedule_that_cannot_be_read_or_never_fires_is_refused(schedule, reason) -> None:
    with pytest.raises(ConfigError, match=rf"triggers\.cron: .*{reason}") as refused:
        parse({"triggers": {"cron": schedule}}, where="cl.yaml")
    assert len(str(refused.value)) < 300


def test_every_schedule_that_is_accepted_fires_on_prefect() -> None:
    from prefect._vendor.croniter import croniter  # type: ignore[attr-defined]
    from prefect.server.schemas.schedules import CronSchedule

    fields = [
        ["*", "0", "59", "60", "*/7", "1-5", "5-1", "1,2", "?", "1-5/2", "5/10", "*/0"],
        ["*", "0", "23", "24", "22-6", "1,5"],
        ["*", "?", "31", "30", "29", "30-31", "1,31", "0", "32", "L", "15/10", "29-2"],
        ["*", "2", "feb", "feb-mar", "2,4", "4,6,9,11", "13", "jan", "11-2"],
        ["*", "?", "0", "7", "mon", "fri-mon", "5#5", "L5", "8", "mon#2", "1,3", "*/2", "sun-sat"],
    ]
    chosen, accepted, refused = random.Random(17), 0, 0
    for _ in range(500):
        schedule = " ".join(chosen.choice(values) for values in fields)
        try:
            check_cron(schedule)
        except ValueError:
            refused += 1
            continue
        accepted += 1
        CronSchedule(cron=schedule)
        assert croniter(schedule, datetime(2026, 1, 1)).get_next(datetime), schedule
    assert accepted > 50 and refused > 50
