from __future__ import annotations

import pytest

from cl import plugins
from cl.errors import UnknownPluginError


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_file_of_a_kind_holds_one_plugin_named_like_it(kind) -> None:
    for name in plugins.names(kind):
        plugin = plugins.find(kind, name)
        assert plugin.__doc__, name
        assert all(field.description for field in plugin.model_fields.values()), name


def test_an_unknown_name_is_answered_with_the_right_ones() -> None:
    with pytest.raises(UnknownPluginError, match=r"no strategy 'repaly'; did you mean 'replay'\? there are: .*ewc,"):
        plugins.find("strategies", "repaly")


def test_a_name_cannot_leave_its_package() -> None:
    with pytest.raises(UnknownPluginError):
        plugins.find("strategies", "..config")


def test_plugins_are_immutable() -> None:
    with pytest.raises(Exception, match="frozen"):
        plugins.build("strategies", "ewc").strength = 1
