"""A few files of each target of fuzz.py, the same every time; the long runs are by hand."""

import fuzz
import pytest

FEW = {
    'checkpoint': 300,
    'annotations': 40,
    'boxes': 200,
    'labels': 150,
    'resume': 150,
    'workdir': 25,
}


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')  # decoders', of spoiled files
@pytest.mark.parametrize('name', FEW)
def test_odd_files_lead_to_our_own_errors_only(name, tmp_path):
    once = fuzz.feeder(name, tmp_path, max_examples=FEW[name], derandomize=True)
    once()
    assert once.fed >= FEW[name]


def test_the_targets_notice_what_they_are_for(tmp_path, monkeypatch):
    """A reader that lets an error through, or code run, does not pass."""
    monkeypatch.setattr(fuzz, 'read_checkpoint', lambda file: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fuzz.read_spoiled_checkpoint(tmp_path, ('.pth', b''))
    monkeypatch.setattr(fuzz, 'read_checkpoint', lambda file: fuzz.hostile())
    with pytest.raises(AssertionError):
        fuzz.read_spoiled_checkpoint(tmp_path, ('.pth', b''))
    fuzz.RAN.clear()
