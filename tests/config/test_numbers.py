"""Numbers of a config that are texts, or out of range, from the command line and from files."""

import math
from pathlib import Path

import pytest
from mmengine.config import Config

from moganet_dense.config.numbers import is_number_as_text, require_numbers
from moganet_dense.config.reading import parse_options, read_config, set_options
from moganet_dense.utils.errors import UserError


def sound() -> Config:
    return Config(
        dict(
            train_dataloader=dict(batch_size=2, num_workers=0),
            train_cfg=dict(max_iters=8e4, val_interval=1),
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05)),
            param_scheduler=[dict(type='LinearLR', begin=0, end=math.inf, start_factor=0.1)],
            default_hooks=dict(checkpoint=dict(interval=-1), record=None),
            randomness=dict(seed=None),
            model=dict(head=dict(alpha=0.25, loss='1')),
        )
    )


def test_sound_numbers_and_absent_ones_pass():
    require_numbers(sound())
    require_numbers({})
    require_numbers(dict(train_dataloader=None, param_scheduler=dict(encoder=[]), train_cfg=None))


@pytest.mark.parametrize(
    ('key', 'value', 'words'),
    [
        ('optim_wrapper.optimizer.lr', '1e-4', "0 or more, found '1e-4'; write it without quotes"),
        ('optim_wrapper.optimizer.lr', 'high', "0 or more, found 'high'$"),
        ('optim_wrapper.optimizer.lr', -0.1, '0 or more, found -0.1'),
        ('optim_wrapper.optimizer.lr', math.nan, '0 or more, found nan'),
        ('optim_wrapper.optimizer.weight_decay', '0.05', 'number, found'),
        ('optim_wrapper.accumulative_counts', 0, 'of 1 or more, found 0'),
        ('param_scheduler.0.start_factor', '0.1', 'number, found'),
        ('train_dataloader.batch_size', 0, 'of 1 or more, found 0'),
        ('train_dataloader.batch_size', None, 'of 1 or more, found None'),
        ('train_dataloader.batch_size', True, 'of 1 or more, found True'),
        ('train_dataloader.num_workers', -1, 'of 0 or more, found -1'),
        ('train_cfg.max_iters', 2.5, 'of 1 or more, found 2.5'),
        ('train_cfg.max_iters', '8', "found '8'; write it without quotes"),
        ('default_hooks.checkpoint.interval', '1', "found '1'; write it without quotes"),
        ('randomness.seed', '3', "found '3'; write it without quotes"),
    ],
)
def test_other_values_are_one_line(key, value, words):
    cfg = sound()
    cfg.merge_from_dict({key: value})
    with pytest.raises(UserError, match=f'^expected {key} to be a .*{words}'):
        require_numbers(cfg)


def test_a_text_in_place_of_any_number_of_the_config():
    cfg = sound()
    for value in ('0.5', '1e-4', ' 3'):
        with pytest.raises(UserError, match=r'model.head.alpha, which is 0.25 .*without quotes'):
            parse_options([f"model.head.alpha='{value}'"], cfg)
    assert parse_options(['model.head.alpha=0.5'], cfg) == {'model.head.alpha': 0.5}
    assert parse_options(["model.head.loss='2'"], cfg) == {'model.head.loss': '2'}  # was a text
    assert parse_options(["model.head.new='2'"], cfg) == {'model.head.new': '2'}


def test_variables_of_a_config_file_have_no_effect():
    cfg = Config(
        dict(
            lr=0.1,
            data_root='data/',
            fsdp=False,
            optim_wrapper=dict(optimizer=dict(lr=0.1)),
            train_dataloader=dict(dataset=dict(data_root='data/')),
        )
    )
    with pytest.raises(
        UserError, match='lr would have no effect: .*; set optim_wrapper.optimizer.lr'
    ):
        set_options(cfg, dict(lr=1))
    with pytest.raises(UserError, match='; set train_dataloader.dataset.data_root$'):
        set_options(cfg, dict(data_root='mine/'))
    set_options(cfg, {'optim_wrapper.optimizer.lr': 0.2, 'fsdp': True, 'log_level': 'INFO'})
    assert cfg.optim_wrapper.optimizer.lr == 0.2 and cfg.fsdp


def test_texts_that_are_numbers():
    assert all(map(is_number_as_text, ('1', '-1.5', '1e-4', ' 2 ')))
    assert not any(map(is_number_as_text, ('', 'x', 'nan', 'inf', '1_0', 1, None, True)))


def test_exponents_of_yaml_are_numbers(tmp_path):
    (path := Path(tmp_path, 'c.yaml')).write_text(
        'default_scope: mmdet\na: [1e-4, 1E5, -2e+3, .5e1, 1.0e-4, 1e, e4, "1e-4", 2026-11-27a]\n'
    )
    assert read_config(path).a == [1e-4, 1e5, -2000, 5, 1e-4, '1e', 'e4', '1e-4', '2026-11-27a']
