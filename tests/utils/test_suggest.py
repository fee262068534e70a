"""Names that are suggested for one that does not exist."""

from moganet_dense.utils.suggest import closest, did_you_mean


def test_the_most_similar_name_comes_first():
    names = ['person', 'personal', 'parrot', 'x']
    assert closest('persom', names, 2) == ['person', 'personal']
    assert closest('persom', names, least=0.9) == []
    assert len(closest('?', names)) == 3  # something is always suggested


def test_case_and_hyphens_do_not_count():
    assert closest('Moga-Net', ['moga_net', 'Moga'], 1, 1.0) == ['moga_net']
    assert did_you_mean('CAT', ['dog', 'cat']) == "; did you mean 'cat'?"
    assert did_you_mean('zebra', ['dog', 'cat']) == ''
