"""What the toolboxes say to their developers does not reach the user of the command line."""

import io
import logging
import sys
import types
import warnings
from contextlib import redirect_stdout

import pytest

from moganet_dense.utils.toolbox_noise import without_toolbox_noise

LOGGED = '"FileClient" will be deprecated in future. Please use io functions'


def warn_in(module: str, message: str, category: type) -> None:
    """As if a module of that name had warned."""
    namespace = types.ModuleType(module).__dict__
    code = 'import warnings; warnings.warn(message, category)'
    exec(code, namespace, dict(message=message, category=category))


@pytest.fixture
def warned(monkeypatch):
    """Texts of the warnings that are shown within."""
    monkeypatch.setattr(sys, 'warnoptions', [])
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        yield found


def test_the_line_of_a_plugin_is_dropped_and_no_other(capsys):
    with without_toolbox_noise():
        print('before')
        print('Could not import OneDL. Skipping OneDL datasets.')
        print('Could not import OneDL')
        print()
        print('after: Could not import OneDL')
        sys.stdout.write('Could not import OneDL\n')
        sys.stdout.write('end\n')
    assert capsys.readouterr().out == 'before\n\nafter: Could not import OneDL\nend\n'


def test_standard_output_stays_what_it_is(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding='latin-1')
    monkeypatch.setattr(sys, 'stdout', stream)
    with without_toolbox_noise():
        assert sys.stdout.encoding == 'latin-1' and sys.stdout.buffer is stream.buffer
        assert not sys.stdout.isatty()
    assert sys.stdout is stream


def test_deprecations_of_the_toolboxes_are_not_shown(warned):
    with without_toolbox_noise():
        warn_in('mmdet.models.x', 'old', DeprecationWarning)
        warn_in('torch.functional', 'in an upcoming release, indexing is required', UserWarning)
        warn_in('mmcv.ops', 'This overload of addmm is deprecated:\n\taddmm(...)', UserWarning)
    assert not warned


def test_syntax_warnings_of_installed_packages_are_not_shown(warned):
    with without_toolbox_noise():
        compile('1 is 1', '/env/lib/python3.12/site-packages/mmdet/x.py', 'exec')
        compile('1 is 1', '/home/me/my_config.py', 'exec')
    assert [w.filename for w in warned] == ['/home/me/my_config.py']


def test_every_other_warning_is(warned):
    with without_toolbox_noise():
        warn_in('mmdet.models.x', 'the annotation has no area', UserWarning)
        warn_in('mmdetection_of_mine', 'old', FutureWarning)
        warn_in('users_module', 'old', DeprecationWarning)
    assert [str(w.message) for w in warned] == ['the annotation has no area', 'old', 'old']


def test_asked_for_warnings_are_shown(warned, monkeypatch):
    monkeypatch.setattr(sys, 'warnoptions', ['default'])
    with without_toolbox_noise():
        warn_in('mmdet.models.x', 'old', DeprecationWarning)
    assert len(warned) == 1


def test_deprecations_in_logs_have_the_level_debug(caplog):
    logger = logging.getLogger('a logger of a toolbox')
    with without_toolbox_noise(), caplog.at_level(logging.DEBUG):
        logger.warning(LOGGED)
        logger.warning('the loss is not finite')
    assert [r.levelname for r in caplog.records] == ['DEBUG', 'WARNING']
    with caplog.at_level(logging.DEBUG):
        logger.warning(LOGGED)
    assert caplog.records[-1].levelname == 'WARNING'


def test_the_command_line_prints_its_result_alone(capsys, monkeypatch):
    """A toolbox that prints the line while a command imports it."""
    from moganet_dense.cli import main

    def command(arguments):
        print('Could not import OneDL')
        with redirect_stdout(sys.stderr):  # as `init` and `check` do
            print('Could not import OneDL. Skipping OneDL datasets.')
        print('result')
        return 0

    assert main([], command) == 0
    assert capsys.readouterr() == ('result\n', '')
