"""A run formats its config once, and draws into its own folder."""

import pytest
import toy
from cheap import holder_of_yapf
from mmengine.config import Config
from mmengine.visualization import Visualizer

from moganet_dense.engine.formatted_config import FormattedOnce
from moganet_dense.engine.job import Job
from moganet_dense.engine.train import train

pytestmark = pytest.mark.whole_runs


@pytest.fixture
def formatted(monkeypatch) -> list[str]:
    """What yapf was given."""
    holder = holder_of_yapf()
    given, real = [], holder.FormatCode
    monkeypatch.setattr(FormattedOnce, '_texts', {})

    def format_code(text: str, **options):
        given.append(text)
        return real(text, **options)

    monkeypatch.setattr(holder, 'FormatCode', format_code)
    return given


def test_the_text_is_mmengines_and_follows_the_content(formatted):
    cfg = Config(dict(a=[1, dict(b='c')], d=dict(e=(1.5, None))))
    wanted = cfg.pretty_text
    found = FormattedOnce.of(cfg)
    formatted.clear()
    assert found.pretty_text == wanted == FormattedOnce.of(cfg).pretty_text
    assert len(formatted) == 1
    found.d.e = 2
    assert 'd=dict(e=2)' in found.pretty_text.replace(' = ', '=') and len(formatted) == 2


def test_a_training_formats_its_config_once(formatted, tmp_path):
    train(Job(toy.write_config(tmp_path, record=True), work_dir=str(tmp_path / 'work')))
    assert len(formatted) == len(set(formatted)) <= 2


@pytest.mark.slow
def test_a_second_run_draws_into_its_own_folder(tmp_path):
    folders = []
    for name in ('one', 'two'):
        text = toy.write_config(tmp_path, record=True).read_text()
        config = tmp_path / f'{name}.py'
        config.write_text(f"{text}visualizer = dict(type='Visualizer', name='visualizer', "
                          "vis_backends=[dict(type='LocalVisBackend')])\n")  # fmt: skip
        train(Job(config, work_dir=str(tmp_path / name)))
        folders.append(Visualizer.get_current_instance()._vis_backends['LocalVisBackend']._save_dir)
    assert str(tmp_path / 'one') in folders[0] and str(tmp_path / 'two') in folders[1]
