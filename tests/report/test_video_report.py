"""What a report has of video prediction, on frames whose errors are computed by hand."""

import pytest
import torch

from moganet_dense.evaluation.metric_recorders import record
from moganet_dense.evaluation.predicted_frames import draw
from moganet_dense.video.metrics import VideoPredictionMetric


def clip(*values: float) -> torch.Tensor:
    """Frames of one value each: (T, 1, 8, 8), 64 pixels."""
    return torch.stack([torch.full((1, 8, 8), value) for value in values])


def sample(given: tuple, target: tuple, prediction: tuple) -> dict:
    return dict(inputs=clip(*given), target=clip(*target), prediction=clip(*prediction))


@pytest.fixture
def evaluated():
    """Evaluates videos by the metric with its recorder; returns figures and the evaluation."""

    class Both:
        def __init__(self):
            self.metrics = [VideoPredictionMetric()]

    def run(videos: list[dict]):
        both, kept = Both(), []
        record(both, None, lambda make: kept.append(make()))
        metric, recorder = both.metrics
        for video in videos:
            metric.process({}, [video])
            recorder.process({}, [video])
        figures = metric.evaluate(len(videos))
        assert recorder.evaluate(len(videos)) == {}
        return figures, kept[0]

    return run


def test_errors_by_frame_and_the_best_video(evaluated):
    good = sample((0.0, 0.5), (0.5, 1.0), (0.5, 0.75))
    bad = sample((0.0, 0.0), (1.0, 1.0), (0.5, 0.5))
    figures, found = evaluated([good, bad])
    # by hand, 64 pixels a frame: good 0 and 64 / 16 = 4; bad 64 / 4 = 16 and 16
    assert found.tables[0].rows == [
        ['1 ahead', (0 + 16) / 2, (0 + 32) / 2, (0 + 64) / 2],
        ['2 ahead', (4 + 16) / 2, (16 + 32) / 2, (16 + 64) / 2],
    ]
    assert figures['video/mse'] == pytest.approx((8 + 10) / 2)
    best, worst = found.best[0], found.best[1]
    assert (best.name, worst.name) == ('video 0', 'video 1')
    assert best.score == pytest.approx(15.0515, abs=1e-3)  # -10 log10((0 + 1 / 16) / 2)
    assert worst.score == pytest.approx(6.0206, abs=1e-3)  # -10 log10(1 / 4)
    assert best.truth.startswith('data:image/jpeg') and len(found.first) == 2


def test_a_perfect_video_has_a_finite_rank(evaluated):
    _, found = evaluated([sample((0.0,), (1.0,), (1.0,))])
    assert found.best[0].score == 100.0


@pytest.mark.parametrize('channels', [1, 2, 3])
def test_frames_are_drawn_in_rows_of_five(channels):
    from moganet_dense.evaluation.predicted_frames import Video

    frames = torch.zeros(7, channels, 32, 32)
    frames[6] = 1
    pair = draw(Video(3, frames, 1 - frames))
    assert pair.truth.shape == pair.prediction.shape == (2 * 68, 5 * 68, 3)
    assert (pair.truth[68:132, 68:132] == 255).all() and (pair.truth[:64, :64] == 0).all()
    assert (pair.prediction[:64, :64] == 255).all()
