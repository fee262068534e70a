"""The page: whole, closed, escaped, and of what the run left."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from finished_run import EVIL, write_work_dir

from moganet_dense.cli import main
from moganet_dense.report.runs import read_work_dir
from moganet_dense.report.write import report
from moganet_dense.utils.errors import UserError


@pytest.fixture
def work_dir(tmp_path):
    return write_work_dir(tmp_path / 'first')


@pytest.fixture
def second(tmp_path):
    return write_work_dir(tmp_path / 'second', gain=0.125, config='lr = 0.2\n')


class Reader(HTMLParser):
    """Tags that are open, all attributes, and the text."""

    VOID = ('meta', 'link', 'img', 'br')

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.attributes += [(tag, *pair) for pair in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def rows(text: str) -> list[list[str]]:
    """Cells of the rows of all tables."""
    found = []
    for row in re.findall(r'<tr>(.*?)</tr>', text, re.DOTALL):
        found.append([re.sub(r'<.*?>', '', c) for c in re.findall(r'<t[hd].*?</t[hd]>', row)])
    return found


def assert_closed_and_harmless(text: str) -> Reader:
    page = Reader(text)
    assert page.open == []
    assert 'script' not in page.tags and 'iframe' not in page.tags
    for tag, name, value in page.attributes:
        assert not name.startswith('on'), (tag, name)
        if name in ('src', 'href', 'xlink:href'):
            assert value.startswith(('data:', '#')), (tag, value)
    assert not re.search(r'url\((?!#)|@import', text)
    return page


def test_a_page_is_closed_escaped_and_tells_the_figures(work_dir):
    text = report([work_dir]).read_text(encoding='utf-8')
    page = assert_closed_and_harmless(text)
    words = ''.join(page.words)
    assert words.count(EVIL) > 8  # shown as text wherever it was put
    assert '日本 $x^2$' in words and '_hidden' in words
    assert '0.250' in words and '0.125' in words and '-1.000' not in words
    assert '16.0' in words  # images a second: 4 images, 2 processes, 0.5 s
    assert 'none: from scratch' in words and '512 MB' in words and '1.0 minutes' in words
    assert page.tags.count('svg') == 5  # validation, loss, rate, seconds; precision
    assert len(text) < 200_000


def test_two_work_dirs_are_compared(work_dir, second, tmp_path):
    out = tmp_path / 'both.html'
    assert main(['report', str(work_dir), str(second), '--out', str(out)]) == 0
    text = out.read_text(encoding='utf-8')
    assert_closed_and_harmless(text)
    assert ['AP of boxes', '0.250', '0.375', '+0.125'] in rows(text)
    assert ['_hidden', '0.125', '0.250', '+0.125'] in rows(text)
    assert ['lr', '0.1', '0.2'] in rows(text)
    assert not (work_dir / 'report.html').exists()


def test_a_log_alone_is_enough(work_dir):
    run = work_dir / '20260101_000000'
    (run / 'run.json').unlink()
    (run / 'evaluation.json').unlink()
    assert_closed_and_harmless(report([work_dir]).read_text(encoding='utf-8'))


def test_what_was_done_again_replaces_what_was_done(work_dir):
    def log(name: str, weights: str, steps: range) -> None:
        run = work_dir / name
        (run / 'vis_data').mkdir(parents=True)
        lines = [f'{{"lr": 0.1, "loss": 9.0, "step": {step}}}' for step in steps]
        (run / 'vis_data/scalars.json').write_text('\n'.join(lines))
        (run / 'run.json').write_text(f'{{"mode": "train", "weights": "{weights}"}}')

    log('20260102_000000', 'resumed from epoch_1.pth', range(200, 401, 50))
    steps = [x for x, _ in read_work_dir(work_dir).training()['Loss']['loss']]
    assert steps == [*range(10, 200, 10), *range(200, 401, 50)]
    log('20260103_000000', 'none: from scratch', range(50, 101, 50))
    steps = [x for x, _ in read_work_dir(work_dir).training()['Loss']['loss']]
    assert steps == [50, 100]


def test_the_folder_of_the_page_is_made(work_dir, tmp_path):
    assert report([work_dir], tmp_path / 'new' / 'folder' / 'page.html').is_file()


def test_no_work_dir_is_one_line(tmp_path, capsys):
    assert main(['report', str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error:') and 'expected a work dir' in line
    with pytest.raises(UserError, match='expected a work dir'):
        report([tmp_path / 'absent'])


def test_a_failing_report_is_a_warning(work_dir, capfd):
    from moganet_dense.report.write import report_of_run

    (work_dir / '20260101_000000/evaluation.json').write_text('{"tables": 3}')
    report_of_run(work_dir)
    assert not (work_dir / 'report.html').exists()
    assert not list(work_dir.glob('.*.part'))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('chromium'), reason='needs Chromium')
def test_chromium_opens_it_without_errors_or_requests(work_dir, tmp_path):
    page = report([work_dir])
    log = tmp_path / 'net.json'
    done = subprocess.run(
        ['chromium', '--headless=new', '--no-sandbox', '--disable-gpu', '--enable-logging=stderr',
         f'--user-data-dir={tmp_path}/profile', f'--log-net-log={log}', '--dump-dom',
         '--disable-background-networking', page.resolve().as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert '<h1>first</h1>' in done.stdout and '<title>first</title>' in done.stdout
    assert 'CONSOLE' not in done.stderr, done.stderr
    assert 'evil.invalid' not in log.read_text(errors='replace')


def test_the_data_are_summarised(work_dir):
    part = dict(split='train', unit='instances', images=9, images_used=8, instances=20,
                instances_used=17, dropped_instances={'whose area is 0 or missing': 3},
                per_class=dict(ball=12, tree=5), notes=[])  # fmt: skip
    (work_dir / 'data_summary.json').write_text(json.dumps([part]))
    text = report([work_dir]).read_text(encoding='utf-8')
    assert_closed_and_harmless(text)
    assert 'train: 8 of 9 images, 17 of 20 instances' in text
    assert 'dropped: 3 instances whose area is 0 or missing' in text
    assert ['ball', '12'] in rows(text) and ['tree', '5'] in rows(text)
    (work_dir / 'data_summary.json').write_text('[{"split": "mine"}]')
    with pytest.raises(UserError, match='data_summary.json was not written by a run'):
        report([work_dir])
