r"""Control characters in keys, names and answers of servers do not reach a terminal or a log.

``\x1b]0;...`` renames a window, ``\x1b[2K`` deletes a line, ``\u202e`` turns the direction of text.
"""

import logging
import os
import re
import warnings
from pathlib import Path

import pytest
import torch
from file_server import Answer, make_certificate, serving
from handmade import boxes, write_coco
from mmengine.logging import MMLogger, print_log

from moganet_dense.cli import main
from moganet_dense.data.validation import check_all
from moganet_dense.utils.errors import UserError
from moganet_dense.utils.printable import printable, printable_lines, printable_logs

EVIL = '\x1b]0;taken\x07\x1b[2K\r\u202eabc\u2028\x9b31m\nerror: all is well'
CONTROLS = re.compile(
    '[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]'
)


def assert_harmless(text: str) -> None:
    assert not CONTROLS.search(text), repr(text)
    assert '\nerror: all is well' not in text


def test_control_characters_are_escapes():
    assert printable('a\x1b[0m\n\u202e\ud800\x85\u200f') == r'a\x1b[0m\n\u202e\ud800\x85\u200f'
    assert printable('ein B\u00e4r \u718a \u0645 %s \\n') == 'ein B\u00e4r \u718a \u0645 %s \\n'
    assert printable('a' * 50, 10) == 'aaaaaaa...'
    assert printable_lines('a\n  b\nc\n\n  d\x1b') == 'a\n  b\\nc\n\n  d\\x1b'


def test_errors_of_commands(monkeypatch, capsys):
    from moganet_dense import cli

    def fail(arguments):
        raise UserError(f'no such file: {EVIL}\n  expected: {EVIL}')

    assert cli.main(['x'], fail) == 1
    said = capsys.readouterr().err
    assert_harmless(said)
    assert said.startswith(r'error: no such file: \x1b]0;taken\x07') and '\n  expected' in said


def test_names_of_files_on_the_command_line(tmp_path, capsys):
    commands = [
        ['flops', EVIL], ['report', EVIL], ['check', EVIL + '.py'], [EVIL], ['zoo', '--' + EVIL],
        ['export', 'retinanet_moganet_xt', EVIL, 'a.onnx'],
    ]  # fmt: skip
    for arguments in commands:
        assert main(arguments) in (1, 2)
        assert_harmless(capsys.readouterr().err)


def test_log_messages_of_the_toolboxes(tmp_path):
    file = tmp_path / 'run.log'
    logger = MMLogger.get_instance('attack', log_file=str(file))
    with printable_logs():
        print_log(f'unexpected key in source state_dict: {EVIL}', logger)
        logger.warning('%s\ttab', EVIL)
        logging.getLogger('uvicorn.error').warning('%s', EVIL)
    for handler in logger.handlers:
        handler.flush()
    text = file.read_text()
    assert r'\x1b]0;taken' in text and '\ttab' in text
    assert not CONTROLS.search(text)
    assert logging.getLogRecordFactory() is logging.LogRecord


def test_warnings(recwarn):
    with printable_logs():
        assert_harmless(warnings.formatwarning(f'{EVIL}', UserWarning, 'a.py', 1, 'x'))


def test_findings_of_the_check(tmp_path):
    content = write_coco(tmp_path)
    content['annotations'][0].update(id=EVIL, bbox=EVIL, category_id=EVIL)
    content['categories'][0]['name'] = EVIL
    content['images'][0]['file_name'] = '../' + EVIL
    import json

    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    words = check_all(boxes(tmp_path)).words()
    assert_harmless(words)
    assert 'taken' in words


def test_keys_of_checkpoints(tmp_path, capsys):
    torch.save(dict(state_dict={EVIL: torch.ones(1)}), tmp_path / 'a.pth')
    files = [str(tmp_path / 'a.pth'), str(tmp_path / 'out.pth')]
    assert main(['deploy', 'retinanet_moganet_xt', *files]) == 1
    said = capsys.readouterr().err
    assert_harmless(said)
    assert r'unexpected: \x1b]0;taken' in said


def test_images_that_predict_skips(tmp_path, monkeypatch, capfd):
    from tiny_onnx import tiny_detector

    monkeypatch.chdir(tmp_path)  # for the folder of results
    tiny_detector(tmp_path / 'a.onnx')
    name = os.fsencode(tmp_path) + b'/\x1b]0;taken\x07\xff.jpg'
    Path(os.fsdecode(name)).write_bytes(b'none')
    assert main(['predict', str(tmp_path / 'a.onnx'), os.fsdecode(name)]) == 3
    said = capfd.readouterr().err
    assert r'skipped' in said and '\x1b]0;taken' not in said and r'\x1b]0;taken\x07\udcff' in said


@pytest.fixture
def server(tmp_path, monkeypatch):
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv('SSL_CERT_FILE', str(certificate))
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    return certificate


def test_reasons_of_servers(server, capsys):
    answer = Answer(status=404)
    with serving(answer, server, reason=EVIL.partition('\r')[0]) as (address, _):
        assert main(['deploy', 'retinanet_moganet_xt', f'{address}/a.pth', 'out.pth']) == 1
    said = capsys.readouterr().err
    assert_harmless(said)
    assert r'HTTP Error 404: \x1b]0;taken' in said
