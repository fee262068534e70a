"""The web page in headless Chromium, which is installed as Debian's chromium and
chromium-driver; where it is not, these tests are skipped."""

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from forked import running
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait
from serving import NAMES, Watched, served

CHROMIUM, DRIVER = shutil.which('chromium'), shutil.which('chromedriver')
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason='no chromium and chromium-driver here'),
]
PATIENCE = 90  # seconds, on a machine that is busy


class Page:
    """The page as a person uses it."""

    def __init__(self, browser: webdriver.Chrome, port: int, downloads: Path) -> None:
        self.browser, self.downloads = browser, downloads
        self.address = f'http://127.0.0.1:{port}/'
        browser.get(self.address)
        self.until(lambda: browser.find_element(By.TAG_NAME, 'body').get_attribute('data-ready'))

    def __getitem__(self, name: str):
        return self.browser.find_element(By.ID, name)

    def until(self, condition) -> None:
        WebDriverWait(self.browser, PATIENCE, 0.05).until(lambda _: condition())

    def choose(self, select: str, value: str) -> None:
        Select(self[select]).select_by_value(value)

    def upload(self, path: Path, words: str) -> None:
        self['file'].send_keys(str(path))
        self.until(lambda: words in self['status'].text)

    def threshold(self, value: float) -> None:
        self.browser.execute_script(
            'const slider = arguments[0]; slider.value = arguments[1];'
            'slider.dispatchEvent(new Event("input", {bubbles: true}))',
            self['threshold'],
            value,
        )

    def listed(self) -> list[str]:
        rows = self['list'].find_elements(By.TAG_NAME, 'li')
        return [row.text.replace('\n', ' ') for row in rows]

    def hover(self, x: float, y: float) -> str:
        """What the page says at a place, from 0 to 1 across and down the image."""
        canvas = self['canvas']
        ActionChains(self.browser, 0).scroll_to_element(canvas).perform()
        size = canvas.size
        offset = round((x - 0.5) * size['width']), round((y - 0.5) * size['height'])
        ActionChains(self.browser, 0).move_to_element_with_offset(canvas, *offset).perform()
        return self['tip'].text

    def download(self, button: str, name: str) -> Path:
        self[button].click()
        path = self.downloads / name
        self.until(path.is_file)
        return path

    def hosts(self) -> set[str]:
        """Those that the page has asked for anything."""
        found = set()
        for entry in self.browser.get_log('performance'):
            message = json.loads(entry['message'])['message']
            if message['method'] == 'Network.requestWillBeSent':
                found.add(re.match(r'\w+:(//[^/]*/)?', message['params']['request']['url'])[0])
        return found


@pytest.fixture(scope='module')
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp('downloads')


@pytest.fixture(scope='module')
def browser(downloads):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    quiet = ['--disable-background-networking', '--disable-component-update', '--no-first-run']
    for argument in ['--headless=new', '--no-sandbox', '--window-size=1200,900', *quiet]:
        options.add_argument(argument)
    options.add_experimental_option('prefs', {'download.default_directory': str(downloads)})
    options.set_capability('goog:loggingPrefs', {'performance': 'ALL', 'browser': 'ALL'})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    found.set_script_timeout(PATIENCE)
    yield found
    found.quit()


@pytest.fixture(scope='module')
def port():
    with served(Watched()) as number:
        yield number


@pytest.fixture
def page(browser, port, downloads):
    page = Page(browser, port, downloads)
    yield page
    errors = [entry for entry in browser.get_log('browser') if entry['level'] == 'SEVERE']
    assert [e for e in errors if 'predict' not in e['message']] == []  # 4xx are logged, too
    assert page.hosts() <= {page.address, 'blob:', 'data:'}


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'my <image>.png'
    cv2.imwrite(str(path), np.full((80, 100, 3), 40, np.uint8))
    return path


def test_objects_threshold_hover_and_downloads(page, image):
    page.choose('task', 'detection')
    page.upload(image, '2 of 2 shown')
    assert page.listed() == ['person 0.90', f'{NAMES[1]} 0.40']  # as text, not as a tag
    assert page.hover(0.15, 0.25) == 'person 0.90'
    assert page.hover(0.7, 0.6) == f'{NAMES[1]} 0.40'
    assert page.hover(0.7, 0.2) == ''
    page.threshold(0.5)
    assert page['status'].text.startswith('1 of 2 shown') and page.listed() == ['person 0.90']
    page.threshold(0.95)
    said = 'Nothing above 0.95; the best score is 0.90: lower the score.'
    assert page['status'].text.startswith(said) and page.listed() == []
    page.threshold(0.5)
    assert page.hover(0.7, 0.6) == ''

    saved = json.loads(page.download('save-json', 'my_image_predicted.json').read_text())
    assert saved['images'][0]['file_name'] == image.name and 'shown' not in saved
    assert [row['score'] for row in saved['annotations']] == pytest.approx([0.9, 0.4])
    drawn = cv2.imread(str(page.download('save-image', 'my_image_predicted.png')))
    scale = drawn.shape[1] / 100
    assert drawn.shape[:2] == (80 * scale, 100 * scale)
    inside = drawn[int(20 * scale), int(15 * scale)]
    outside = drawn[int(50 * scale), int(70 * scale)]  # of the one that the threshold hides
    assert np.ptp(inside.astype(int)) > 50 and outside.tolist() == [40, 40, 40]


def test_areas_are_cut_where_the_model_is_not_sure(page, image):
    page.choose('task', 'segmentation')
    page.threshold(0)
    page.upload(image, 'segmentor, ')
    assert page.hover(0.25, 0.5) == 'person 0.80'
    assert page.hover(0.75, 0.5) == f'{NAMES[1]} 0.20'
    page.threshold(0.3)
    assert page.hover(0.25, 0.5) == 'person 0.80' and page.hover(0.75, 0.5) == ''


def test_skeletons_of_found_people(page, image):
    page.choose('task', 'pose')
    page.choose('detector', 'detector')
    page.upload(image, '1 of 1 shown')
    assert page.hover(0.05, 0.125) == 'head 0.90'
    assert page.hover(0.25, 0.375) == 'foot 0.50'
    page.threshold(0.6)  # keypoints below it are not there
    assert page.hover(0.05, 0.125) == 'head 0.90'
    assert 'foot' not in page.hover(0.25, 0.375)


def test_poses_in_space_are_drawn_from_two_views(page, image):
    """A bone that points away from the camera is a point from the front, a line from the side."""
    page.choose('task', 'pose3d')
    page.upload(image, 'poser in space, ')
    assert page['views'].is_displayed()
    ink = page.browser.execute_script(
        """
        const canvas = arguments[0], context = canvas.getContext('2d');
        const half = canvas.width / 2;
        return [0, half].map((left) => {
          const { data } = context.getImageData(left, 40, half, canvas.height - 80);
          const columns = new Set();
          for (let i = 0; i < data.length; i += 4)
            if (data[i] + data[i + 1] + data[i + 2] < 700) columns.add((i / 4) % half);
          return columns.size;
        });""",
        page['views'],
    )
    assert ink[0] < 12 and ink[1] > 250
    page.choose('task', 'detection')
    page.until(lambda: 'detector, ' in page['status'].text)
    assert not page['views'].is_displayed()


def test_a_classifier_and_the_examples(page):
    page.choose('task', 'classification')
    assert not page['threshold'].is_displayed()
    page.browser.find_element(By.CSS_SELECTOR, '#examples button').click()
    page.until(lambda: 'classifier, ' in page['status'].text)
    assert page.listed() == [f'{NAMES[1]} 0.75', 'person 0.25']


def test_files_that_are_refused(page, tmp_path):
    text = tmp_path / 'notes.png'
    text.write_text('no image')
    page.upload(text, 'expected a JPEG, PNG or WebP image, found another file')
    large = tmp_path / 'large.jpg'
    large.write_bytes(b'0' * (20 * 2**20 + 1))
    page.upload(large, 'too large: at most 20 MB')
    assert not page['downloads'].is_displayed() and page.listed() == []


def test_on_a_phone_nothing_overflows(page, image):
    size = dict(width=360, height=740, deviceScaleFactor=1, mobile=True)
    page.browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
    page.upload(image, '2 of 2 shown')
    width = page.browser.execute_script('return document.documentElement.scrollWidth')
    page.browser.execute_cdp_cmd('Emulation.clearDeviceMetricsOverride', {})
    assert width == 360


TEN = """
const [model, done] = arguments;
const headers = {'Content-Type': 'application/octet-stream'};
const to = 'predict?model=' + encodeURIComponent(model);
fetch('examples/objects.jpg')
  .then((response) => response.blob())
  .then((body) => Promise.all(
    Array.from({length: 10}, () => fetch(to, {method: 'POST', body, headers}))))
  .then((answers) => done(answers.map((answer) => answer.status)));
"""

SMALL = """
_base_ = {base!r}
steps = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(160, 128), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                                          'scale_factor')),
]
test_dataloader = dict(dataset=dict(pipeline=steps))
model = dict(test_cfg=dict(score_thr=0.0))
"""


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob('*') if path.is_file()}


def test_a_real_model_from_the_command_line(browser, downloads, tmp_path):
    """The whole way: command, model, image, ten at once; and no file is left behind."""
    config = tmp_path / 'small.py'
    config.write_text(SMALL.format(base=str(ROOT / 'configs/det/retinanet_moganet_xt.py')))
    folder, home = tmp_path / 'folder', tmp_path / 'home'
    folder.mkdir()
    home.mkdir()
    command = ['demo', '--port', '0', f'{config}=random']
    place = dict(HOME=str(home), TMPDIR=str(home), MPLCONFIGDIR=str(tmp_path))  # Matplotlib's fonts
    with running(command, folder, **place) as printed:
        (port,) = re.findall(r'open http://127\.0\.0\.1:(\d+)/$', printed.readline().strip())
        page = Page(browser, int(port), downloads)
        page.browser.find_elements(By.CSS_SELECTOR, '#examples button')[2].click()
        page.until(lambda: '100 of 100 shown' in page['status'].text)
        page.threshold(0)
        assert len(page.listed()) == 100
        saved = json.loads(page.download('save-json', 'objects_predicted.json').read_text())
        assert saved['images'] == [dict(id=1, width=384, height=288, file_name='objects.jpg')]
        for row in saved['annotations']:
            x, y, width, height = row['bbox']
            assert min(x, y) >= 0 and x + width <= 384.1 and y + height <= 288.1
        model = Select(page['model']).first_selected_option.text
        assert browser.execute_async_script(TEN, model) == [200] * 10
        assert page.hosts() <= {page.address, 'blob:', 'data:'}
        assert not files(home) and not files(folder)
